"""Every error survives pickle and the wire, and says what it has to say."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Iterator

import cloudpickle
import pytest

from raylite.policies import errors
from raylite.policies.errors import (
    ConstraintError,
    Corrupt,
    Error,
    Invalid,
    LimitExceeded,
    NoQuorum,
    OutcomeNotKept,
    OutcomeUnknown,
    PartlyApplied,
    StatementError,
    Unavailable,
    decode,
    encode,
)

_SAMPLES: dict[str, str | int | float] = {"str": "shop", "int": 3, "float": 1.5, "int | float": 2.5}


def _classes(root: type[Error]) -> Iterator[type[Error]]:
    if root.__module__.startswith(f"{errors.__name__}."):
        yield root
    for child in root.__subclasses__():
        yield from _classes(child)


def _sample(kind: type[Error]) -> Error:
    """An error with a value of the right type in every field."""
    parameters = list(inspect.signature(kind).parameters.values())
    if parameters and parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
        return kind("something happened")
    return kind(*(_SAMPLES[str(one.annotation)] for one in parameters))


_ALL = sorted(set(_classes(Error)), key=lambda kind: kind.__name__)
each = pytest.mark.parametrize(
    "error", [_sample(kind) for kind in _ALL], ids=[kind.__name__ for kind in _ALL]
)


def test_the_tree_is_found_whole() -> None:
    named = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Error)
    }
    assert {kind.__name__ for kind in _ALL} == named
    assert len(named) >= 20


@each
def test_an_error_survives_pickle_with_all_its_fields(error: Error) -> None:
    for copy in (pickle.loads(pickle.dumps(error)), cloudpickle.loads(cloudpickle.dumps(error))):
        assert type(copy) is type(error)
        assert vars(copy) == vars(error)
        assert str(copy) == str(error)


@each
def test_an_error_survives_the_wire_with_all_its_fields(error: Error) -> None:
    copy = decode(*encode(error))
    assert type(copy) is type(error)
    assert (copy.args, vars(copy), str(copy)) == (error.args, vars(error), str(error))


@each
def test_an_error_says_something_and_shows_its_fields(error: Error) -> None:
    text = str(error)
    assert text.strip()
    assert "object at 0x" not in text
    assert all(str(field) in text for field in error.args if field != -1 or "offset" in text)


@each
def test_an_error_has_the_http_status_of_its_branch(error: Error) -> None:
    status = error.http_status
    if isinstance(error, Invalid | PartlyApplied | OutcomeNotKept):
        assert 400 <= status < 500
    elif isinstance(error, Unavailable):
        assert status in (401, 429, 503, 507)
    else:
        assert 500 <= status < 600


@each
def test_only_what_is_unknown_or_kept_may_have_applied(error: Error) -> None:
    assert error.may_have_applied == isinstance(error, OutcomeUnknown | OutcomeNotKept | PartlyApplied)


@each
def test_an_error_is_on_exactly_one_branch(error: Error) -> None:
    branches = (Invalid, Unavailable, PartlyApplied, OutcomeNotKept, OutcomeUnknown, Corrupt)
    assert sum(isinstance(error, branch) for branch in branches) == (type(error) is not Error)


def test_an_error_of_a_class_that_this_version_does_not_know_is_still_readable() -> None:
    error = decode("FromTheFuture", ("shop", 7))
    assert type(error) is Error
    assert "FromTheFuture" in str(error)
    assert "shop" in str(error)


@pytest.mark.parametrize(
    ("name", "fields"), [("StatementError", ("a", "b", "c")), ("OutcomeNotKept", ("many",)), ("Corrupt", ())]
)
def test_fields_that_are_not_those_of_the_class_are_refused(name: str, fields: tuple[str, ...]) -> None:
    with pytest.raises(TypeError):
        decode(name, fields)


def test_an_error_that_a_program_derived_from_one_of_these_is_found_by_name() -> None:
    class OwnError(LimitExceeded):
        """Somebody else's."""

    assert type(decode(*encode(OwnError("rows", 2, 1, "rows")))) is OwnError


def test_the_text_of_a_statement_error_names_the_offset_only_if_sqlite_gave_one() -> None:
    assert "offset 7" in str(StatementError("no such table: x", 1, 7))
    assert "offset" not in str(ConstraintError("UNIQUE constraint failed", 2067))


def test_a_refusal_for_want_of_a_quorum_has_the_numbers_and_the_next_step() -> None:
    text = str(NoQuorum("shop", 2, 3))
    assert "2 durability followers answer, 3 are needed" in text
    assert "raylite status" in text
