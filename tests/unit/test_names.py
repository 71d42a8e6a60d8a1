"""Names that go into actor names, directories and command lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray._private.label_utils import validate_node_label_syntax

from raylite.policies.errors import InvalidName
from raylite.policies.limits import NAME_CHARACTERS
from raylite.policies.names import REGION_CHARACTERS, database_name, region_name

_TEXTS = st.one_of(st.text(max_size=70), st.text("aZ09-_.:/ é\n", max_size=70))


@pytest.mark.parametrize("name", ["shop", "Shop-2", "0", "a_b", "x" * NAME_CHARACTERS])
def test_a_plain_name_is_a_database_name(name: str) -> None:
    assert database_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * (NAME_CHARACTERS + 1),
        "-rf",
        "a b",
        "a/b",
        "..",
        "a.b",
        "a:b",
        "é",
        "٣",
        "a\n",
        "_registry",
        "_x",
    ],
)
def test_a_name_that_could_be_misread_is_refused(name: str) -> None:
    with pytest.raises(InvalidName, match="name"):
        database_name(name)


@given(_TEXTS)
def test_database_names_hold_only_what_the_rule_says(text: str) -> None:
    plain = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    right = 0 < len(text) <= NAME_CHARACTERS and text[0] in plain and set(text) <= plain | {"-", "_"}
    assert _accepted(database_name, text) == right


@given(_TEXTS)
def test_region_names_are_what_ray_accepts_as_the_value_of_a_node_label(text: str) -> None:
    try:
        validate_node_label_syntax({"ray.io/availability-region": text})
        right = text != ""
    except ValueError:
        right = False
    assert _accepted(region_name, text) == right


def test_a_long_region_name_is_refused_in_short() -> None:
    with pytest.raises(InvalidName) as caught:
        region_name("x" * 100_000)
    assert len(str(caught.value)) < 200
    assert region_name("x" * REGION_CHARACTERS)


def _accepted(check: object, text: str) -> bool:
    assert callable(check)
    try:
        check(text)
    except InvalidName:
        return False
    return True
