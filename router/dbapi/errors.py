"""PEP 249's errors, and which of them each error of raylite becomes; that one is its `__cause__`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, NoReturn

from raylite.policies import errors as own


class Warning(Exception):
    """PEP 249 asks for it; nothing raises it."""


class Error(Exception):
    """Root of PEP 249's tree. Fields: message, SQLite's extended result code (0: none), whether a write may stay.

    may_have_applied: whether the write that got this error can have taken effect.
    """

    def __init__(self, message: str, sqlite_errorcode: int = 0, may_have_applied: bool = False) -> None:
        super().__init__(message, sqlite_errorcode, may_have_applied)
        self.message, self.sqlite_errorcode = message, sqlite_errorcode
        self.may_have_applied = may_have_applied

    def __str__(self) -> str:
        return self.message


class InterfaceError(Error):
    """PEP 249's: the driver was used wrongly."""


class DatabaseError(Error):
    """PEP 249's: the database says no."""


class DataError(DatabaseError):
    """A value, text or result over a limit."""


class OperationalError(DatabaseError):
    """The system is in no state to do it, or SQLite refused a statement, as sqlite3 reports it."""


class IntegrityError(DatabaseError):
    """A constraint refused the write."""


class InternalError(DatabaseError):
    """Damage that was found and not passed on."""


class ProgrammingError(DatabaseError):
    """The caller's fault: parameters, a closed cursor, a bookmark."""


class NotSupportedError(DatabaseError):
    """Transactions by hand, and what reaches outside of a database."""


class OutcomeUnknown(OperationalError):
    """Nobody can say whether the write took effect: read before you repeat it."""


_KINDS: Final[tuple[tuple[type[own.Error], type[Error]], ...]] = (
    (own.OutcomeUnknown, OutcomeUnknown),
    (own.ConstraintError, IntegrityError),
    (own.StatementError, OperationalError),
    (own.NotAllowed, NotSupportedError),
    (own.LimitExceeded, DataError),
    (own.DatabaseNotFound, OperationalError),
    (own.Invalid, ProgrammingError),
    (own.Corrupt, InternalError),
)
"""The first that fits counts; all others are `OperationalError`."""

_TOO_BIG, _MISMATCH = 18, 20
_BY_CODE: Final[dict[int, type[Error]]] = {_TOO_BIG: DataError, _MISMATCH: IntegrityError}
"""SQLite's primary result codes for which sqlite3 has a class of its own (https://sqlite.org/rescode.html)."""


def translated(error: own.Error) -> Error:
    """The error of this module that stands for one of raylite's."""
    code = error.code if isinstance(error, own.StatementError) else 0
    kind = next((kind for theirs, kind in _KINDS if isinstance(error, theirs)), OperationalError)
    if kind is OperationalError:
        kind = _BY_CODE.get(code & 0xFF, kind)
    return kind(str(error), code, error.may_have_applied)


def refuse(error: own.Error) -> NoReturn:
    """Raises what stands for the error."""
    raise translated(error) from error


@contextmanager
def translating() -> Generator[None]:
    """Whatever raylite raises inside comes out as PEP 249 names it."""
    try:
        yield
    except own.Error as error:
        refuse(error)
