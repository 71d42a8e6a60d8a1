"""What a caller may bind, as SQLite has it; refused at once when SQLite does not, before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence

from raylite.actors.storage.engine_input import check
from raylite.policies import limits
from raylite.policies.errors import LimitExceeded, ParameterError
from raylite.policies.query import Mode, Query, Statement, Value

Bindable = None | bool | int | float | str | bytes | bytearray | memoryview
"""What `bind` takes. SQLite has no booleans: True and False become 1 and 0."""


def values(given: Sequence[Bindable]) -> tuple[Value, ...]:
    """The values as they travel; raises `ParameterError` for a type that SQLite does not have."""
    return tuple([_value(position, one) for position, one in enumerate(given, 1)])


def checked(mode: Mode, sql: object, params: tuple[Value, ...] = ()) -> Statement:
    """The statement, or script, if the engine would take it; else raises the same error as the engine."""
    if not isinstance(sql, str):
        raise ParameterError(f"SQL is text, not a {type(sql).__name__}")
    statement = Statement(sql, params)
    check(Query("", mode, (statement,), "", 0.0))
    return statement


def seconds_of(timeout: object, default: float) -> float:
    """The time that a query may take; raises `ParameterError` or `LimitExceeded` if it is none."""
    if timeout is None:
        return default
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise ParameterError(f"a timeout is a number of seconds above 0, not {timeout!r}")
    if timeout > limits.LONGEST_QUERY_SECONDS:
        raise LimitExceeded("the timeout", timeout, limits.LONGEST_QUERY_SECONDS, "seconds")
    return float(timeout)


def _value(position: int, value: Bindable) -> Value:
    match value:
        case None:
            return None
        case bool() | int():
            return int(value)  # exact: an IntEnum, too, travels as its number
        case float():
            return float(value)
        case str():
            return str.__str__(value)  # not `str(value)`, which for a mixed-in Enum is its name
        case bytes() | bytearray() | memoryview():
            return bytes(value)
        case _:
            kind = type(value).__name__
            raise ParameterError(
                f"parameter {position}: a {kind} is none of None, bool, int, float, str and bytes"
            )
