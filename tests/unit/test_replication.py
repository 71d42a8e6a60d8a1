"""In which regions replicas are wanted."""

from __future__ import annotations

import pytest

from raylite.policies.errors import InvalidName
from raylite.policies.replication import Replication, ReplicationMode

_PRESENT = ("weur", "enam")


def test_by_default_every_region_with_nodes_has_a_replica() -> None:
    assert Replication().wanted(_PRESENT) == ("enam", "weur")
    assert Replication().unmet(_PRESENT) == ()


def test_a_list_is_met_where_there_are_nodes_and_the_rest_is_told() -> None:
    listed = Replication.parse("weur, apac,weur")
    assert listed == Replication(ReplicationMode.STATIC, ("weur", "apac"))
    assert listed.wanted(_PRESENT) == ("weur",)
    assert listed.unmet(_PRESENT) == ("apac",)


def test_switched_off_there_is_none() -> None:
    assert Replication.parse("disabled").wanted(_PRESENT) == ()


@pytest.mark.parametrize("text", ["auto", "disabled", "weur", "weur,apac,rack-7"])
def test_the_text_of_a_setting_gives_the_setting_again(text: str) -> None:
    assert str(Replication.parse(text)) == text


@pytest.mark.parametrize("text", ["", "weur,", "a b", "auto disabled"])
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(InvalidName):
        Replication.parse(text)


def test_an_empty_list_is_refused_rather_than_taken_for_off() -> None:
    with pytest.raises(InvalidName, match="disabled"):
        Replication.static([])
