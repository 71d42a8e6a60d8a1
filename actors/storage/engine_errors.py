"""SQLite's and APSW's exceptions as errors of `raylite.policies.errors`."""

from __future__ import annotations

from typing import Final

import apsw

from raylite.actors.storage.engine_apsw import code_of, offset_of
from raylite.policies import limits
from raylite.policies.errors import (
    ConstraintError,
    Corrupt,
    Error,
    ParameterError,
    StatementError,
    StorageFull,
    Unreachable,
)

_CORRUPT: Final = (apsw.CorruptError, apsw.NotADBError)
_DISK: Final = (apsw.FullError, apsw.IOError)
_BUSY: Final = (apsw.BusyError, apsw.LockedError, apsw.ProtocolError, apsw.CantOpenError, apsw.NoMemError)

CAUGHT: Final = (apsw.Error, Error, UnicodeDecodeError, MemoryError)
"""Everything that a query's own text, values or disk can raise out of APSW; all else is our bug."""


def translate(error: Exception, path: str) -> Error:
    """The error of the tree that says what this one of `CAUGHT` means for the caller; path: of the database."""
    match error:
        case Error():
            return error
        case UnicodeDecodeError():
            return StatementError("the result holds text that is not UTF-8; select it CAST(... AS BLOB)")
        case apsw.BindingsError():
            return ParameterError(str(error).rstrip(" .!").replace("  ", " "))
        case apsw.Error():
            return _from_sqlite(error, path)
        case _:
            return Unreachable("memory", str(error) or "there is not enough for this query")


def _from_sqlite(error: apsw.Error, path: str) -> Error:
    message, code = str(error), code_of(error)
    if isinstance(error, apsw.ConstraintError):
        return ConstraintError(message, code, -1)
    if isinstance(error, _CORRUPT):
        return Corrupt("the database file", path, message)
    if isinstance(error, _DISK):
        return StorageFull(path, f"{message} (SQLite result {code})")
    if isinstance(error, _BUSY):
        return Unreachable(path, message)
    if isinstance(error, apsw.TooBigError):
        message += f": a value or row may have {limits.VALUE_BYTES} bytes, a statement {limits.SQL_BYTES}"
    return StatementError(message, code, offset_of(error))
