"""Errors in D1's words: `<message>[ at offset N]: SQLITE_<PRIMARY>[ (extended: SQLITE_<EXTENDED>)]`.

What D1 has no text for keeps raylite's own, which says whether a write can have taken effect.
"""

from __future__ import annotations

from typing import Final

import apsw

from raylite.policies.errors import Error, NotAllowed, ParameterError, StatementError

NO_STATEMENT: Final = "No SQL statements detected."
WRONG_COUNT: Final = "Wrong number of parameter bindings for SQL query."
TOO_LONG: Final = "statement too long: SQLITE_TOOBIG"
NO_VACUUM: Final = "cannot VACUUM from within a transaction: SQLITE_ERROR"
TOO_BIG: Final = "string or blob too big: SQLITE_TOOBIG"

_COUNT: Final = "Incorrect number of bindings"
_BY_HAND: Final = frozenset({"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"})
_NO_TRANSACTION: Final = (
    "To execute a transaction, please use the state.storage.transaction() or state.storage.transactionSync() APIs "
    "instead of the SQL BEGIN TRANSACTION or SAVEPOINT statements. The JavaScript API is safer because it will "
    "automatically roll back on exceptions, and because it interacts correctly with Durable Objects' automatic atomic "
    "write coalescing."
)


class Refused(Exception):
    """A request that D1 refuses before it runs anything, in the words that the caller gets."""


def error_text(error: Error) -> str:
    """What the caller reads."""
    match error:
        case StatementError():
            return _of_sqlite(error)
        case ParameterError() if error.message.startswith(_COUNT):
            return WRONG_COUNT
        case NotAllowed():
            return _NO_TRANSACTION if error.what.split()[0] in _BY_HAND else "not authorized: SQLITE_AUTH"
        case _:
            return str(error)


def _of_sqlite(error: StatementError) -> str:
    at = f" at offset {error.offset}" if error.offset >= 0 else ""
    primary = apsw.mapping_result_codes.get(error.code & 0xFF, "SQLITE_ERROR")
    text = f"{error.message}{at}: {primary}"
    extended = apsw.mapping_extended_result_codes.get(error.code)
    return text if extended is None else f"{text} (extended: {extended})"
