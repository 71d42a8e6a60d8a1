"""A request's JSON as statements, by D1's rules: what is bound, and what is refused before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeGuard

import msgspec

from raylite.actors.storage.authorizer import is_vacuum
from raylite.actors.storage.sql_file import statements, trimmed
from raylite.policies import limits
from raylite.policies.query import Statement, Value
from raylite.router.http.error_text import NO_STATEMENT, NO_VACUUM, TOO_BIG, TOO_LONG, Refused

_BYTE: Final = range(256)
_PARAMETER: Final = "a parameter is null, a number, a string, or an array of bytes. Nothing was run."


class Entry(msgspec.Struct):
    """One prepared statement as the binding sends it."""

    sql: str
    params: list[object] | None = None


class Group(msgspec.Struct, frozen=True):
    """The statements of one entry; the last one has its parameters, and its rows are the answer."""

    statements: tuple[Statement, ...]


_DECODER: Final = msgspec.json.Decoder(Entry | list[Entry])


def decoded(body: bytes) -> tuple[list[Group], bool]:
    """The groups that a body asks for, and whether it is an array; raises `Refused`."""
    try:
        found: Entry | list[Entry] = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"the request is no statement, and no array of statements: {error}") from error
    if isinstance(found, Entry):
        return groups_of([found]), False
    return groups_of(found), True


def groups_of(sent: Iterable[Entry]) -> list[Group]:
    """The groups of these entries; raises `Refused`.

    Entries of comments and space alone have no group, as in D1; nothing but such is refused.
    """
    held = [one for one in map(_group, sent) if one is not None]
    if not held:
        raise Refused(NO_STATEMENT)
    return held


def _group(entry: Entry) -> Group | None:
    _encoded(entry.sql)
    first, *rest = [trimmed(one) for one in statements(entry.sql)] or [""]
    if not first:
        return None
    texts = [first, *[one.lstrip() for one in rest]]
    if any(len(one.encode()) > limits.D1_SQL_BYTES for one in texts):
        raise Refused(TOO_LONG)
    if any(map(is_vacuum, texts)):
        raise Refused(NO_VACUUM)
    params = entry.params or []
    last = Statement(texts[-1], tuple([_value(one) for one in params]))
    return Group((*[Statement(one) for one in texts[:-1]], last))


def _value(value: object) -> Value:
    """What is bound: a number is always REAL, as JavaScript has no other; an array of bytes is a blob."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _real(value)
        case str():
            return _bounded(value, len(_encoded(value)))
        case _:
            return _blob(value)


def _blob(value: object) -> Value:
    if not _is_list(value):
        raise Refused(_PARAMETER)
    numbers = [one for one in value if type(one) is int and one in _BYTE]
    if len(numbers) != len(value):
        raise Refused(_PARAMETER)
    return _bounded(bytes(numbers), len(value))


def _real(value: float) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise Refused("a number is larger than a double can be") from error


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Refused("a text holds a lone surrogate, which has no UTF-8. Nothing was run.") from error


def _bounded(value: str | bytes, size: int) -> str | bytes:
    if size > limits.D1_VALUE_BYTES:
        raise Refused(TOO_BIG)
    return value


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)
