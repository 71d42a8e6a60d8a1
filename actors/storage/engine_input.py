"""Refuses a query that SQLite would misread or choke on, before SQLite sees it.

A NUL ends SQL text early and hides what follows it from SQLite's text functions; lone surrogates have no UTF-8;
integers past 64 bits have no SQLite type. A NaN is stored as NULL, as SQLite does. D1 takes a NUL in a value.
"""

from __future__ import annotations

from typing import Final

from raylite.policies import limits
from raylite.policies.errors import Invalid, LimitExceeded, ParameterError, StatementError
from raylite.policies.query import Dialect, Mode, Query, Statement, Value

_SMALLEST: Final = -(1 << 63)
_LARGEST: Final = (1 << 63) - 1
_SMALL: Final = 64 << 10
_NUMBERS_AND_NULL: Final = frozenset({float, bool, type(None)})


def check(query: Query) -> None:
    """Raises `Invalid` when the query breaks a limit or holds a value that SQLite cannot."""
    count = len(query.statements)
    if query.mode is Mode.BATCH:
        if count > limits.BATCH_STATEMENTS:
            raise LimitExceeded("the batch", count, limits.BATCH_STATEMENTS, "statements")
    elif count != 1:
        raise StatementError(f"{query.mode} takes one text, not {count}")
    script = query.mode is Mode.SCRIPT
    for statement in query.statements:
        _check_statement(statement, limits.SCRIPT_BYTES if script else limits.SQL_BYTES, query.dialect)
        if script and statement.params:
            raise ParameterError("a script takes no parameters")


def is_small(params: tuple[Value, ...]) -> bool:
    """Whether a statement may be kept compiled with these: SQLite keeps the values with it until it is used again."""
    for value in params:
        if (
            value.__class__ not in _NUMBERS_AND_NULL
            and isinstance(value, str | bytes)
            and len(value) > _SMALL
        ):
            return False
    return True


def _check_statement(statement: Statement, limit: int, dialect: Dialect) -> None:
    sql = statement.sql
    size = _utf8_bytes(sql)
    if size < 0:
        raise StatementError("the SQL text holds a lone surrogate, which has no UTF-8", 1, _first_bad(sql))
    if size > limit:
        raise LimitExceeded("the SQL text", size, limit, "bytes")
    if "\0" in sql:
        raise StatementError("the SQL text holds a NUL character", 1, sql.index("\0"))
    if statement.params:
        _check_params(statement, dialect)


def _check_params(statement: Statement, dialect: Dialect) -> None:
    params = statement.params
    if len(params) > limits.PARAMETERS:
        raise LimitExceeded("the statement", len(params), limits.PARAMETERS, "parameters")
    for position, value in enumerate(params, 1):
        if value.__class__ not in _NUMBERS_AND_NULL:
            problem = _problem(value, position, dialect)
            if problem is not None:
                raise problem


def _problem(value: object, position: int, dialect: Dialect) -> Invalid | None:
    where = f"parameter {position}"
    if isinstance(value, int):
        return (
            None
            if _SMALLEST <= value <= _LARGEST
            else ParameterError(f"{where}: {_short(value)} is past 64 bits")
        )
    if isinstance(value, float):
        return None
    if isinstance(value, bytes):
        return _too_big(where, len(value))
    if not isinstance(value, str):
        kind = type(value).__name__
        return ParameterError(f"{where}: a {kind} is none of None, int, float, str and bytes")
    size = _utf8_bytes(value)
    if size < 0:
        return ParameterError(f"{where}: a lone surrogate at index {_first_bad(value)} has no UTF-8")
    if "\0" in value and dialect is not Dialect.D1:
        at = value.index("\0")
        return ParameterError(
            f"{where}: NUL at index {at}, where SQLite's text functions stop: bind bytes instead"
        )
    return _too_big(where, size)


def _too_big(where: str, size: int) -> LimitExceeded | None:
    return LimitExceeded(where, size, limits.VALUE_BYTES, "bytes") if size > limits.VALUE_BYTES else None


def _short(value: int) -> str:
    return str(value) if abs(value) < 1 << 128 else f"an integer of {value.bit_length()} bits"


def _utf8_bytes(text: str) -> int:
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return -1


def _first_bad(text: str) -> int:
    return next(index for index, character in enumerate(text) if "\ud800" <= character <= "\udfff")
