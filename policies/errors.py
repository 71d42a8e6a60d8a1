"""Every error that raylite raises, in one tree rooted at `Error`.

Five branches say whose turn it is: the caller's fault (`Invalid`), try again or elsewhere (`Unavailable`), a part
stays (`PartlyApplied`), nobody can say (`OutcomeUnknown`), and damage (`Corrupt`, the actor stops).
`may_have_applied` says whether a write that got this error can have taken effect.
Errors cross actors and connections: every field is positional, so they pickle, and
`encode`/`decode` carry them over a wire that has no pickle.
"""

from __future__ import annotations

from typing import ClassVar


class Error(Exception):
    """Root of the tree. Its text says what happened, whether a write applied, and what to do."""

    http_status: ClassVar[int] = 500
    may_have_applied: ClassVar[bool] = False

    def __init__(self, *fields: str | int | float) -> None:
        super().__init__(*fields)


class Invalid(Error):
    """The caller's fault: the same call fails again. Nothing was applied."""

    http_status = 400


class StatementError(Invalid):
    """SQLite refused a statement. Fields: message, extended result code, offset in the SQL (-1: unknown)."""

    def __init__(self, message: str, code: int = 1, offset: int = -1) -> None:
        super().__init__(message, code, offset)
        self.message, self.code, self.offset = message, code, offset

    def __str__(self) -> str:
        at = f" at offset {self.offset}" if self.offset >= 0 else ""
        return f"{self.message}{at} (SQLite result {self.code}). Nothing was applied."


class ConstraintError(StatementError):
    """A constraint refused the write; fields as `StatementError`. The transaction was rolled back whole."""

    http_status = 409


class NotAllowed(Invalid):
    """A statement that reaches outside its database, a transaction by hand, or a store that refuses us.

    Fields: what, what to do instead.
    """

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(what, instead)
        self.what, self.instead = what, instead

    def __str__(self) -> str:
        return f"{self.what} is not allowed. Nothing was applied. {self.instead}"


class ParameterError(Invalid):
    """Parameters that do not fit the statement. Field: message."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return f"{self.message}. Nothing was applied."


class LimitExceeded(Invalid):
    """A size or time limit. Fields: what, size, limit, unit."""

    http_status = 413

    def __init__(self, what: str, size: int | float, limit: int | float, unit: str) -> None:
        super().__init__(what, size, limit, unit)
        self.what, self.size, self.limit, self.unit = what, size, limit, unit

    def __str__(self) -> str:
        return f"{self.what}: {self.size} {self.unit} is over the limit of {self.limit}. Nothing was applied."


class BookmarkError(Invalid):
    """A bookmark that is malformed, of another database or of a lost history. Fields: bookmark, reason."""

    def __init__(self, bookmark: str, reason: str) -> None:
        super().__init__(bookmark, reason)
        self.bookmark, self.reason = bookmark, reason

    def __str__(self) -> str:
        return f"bookmark {self.bookmark!r} {self.reason}. Nothing was run. Start a session without it."


class DatabaseNotFound(Invalid):
    """No database of that name. Field: name."""

    http_status = 404

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"there is no database named {self.name!r}. Create it: `raylite create {self.name}`."


class DatabaseExists(Invalid):
    """That name is taken. Field: name."""

    http_status = 409

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"a database named {self.name!r} exists already. Choose another name, or connect to it."


class ForeignDirectory(Invalid):
    """A directory that belongs to another actor. Fields: directory, whose it is, who asked."""

    http_status = 409

    def __init__(self, directory: str, owner: str, asked: str) -> None:
        super().__init__(directory, owner, asked)
        self.directory, self.owner, self.asked = directory, owner, asked

    def __str__(self) -> str:
        return (
            f"{self.directory} belongs to {self.owner}, not to {self.asked}. Nothing in it was touched. "
            "Start with the directory of this one, or with an empty one."
        )


class InvalidName(Invalid):
    """Not a database or region name. Fields: name, rule."""

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(name, rule)
        self.name, self.rule = name, rule

    def __str__(self) -> str:
        return f"{self.name!r} is not a valid name: {self.rule}."


class Unavailable(Error):
    """Not run: try again, or elsewhere. Nothing was applied."""

    http_status = 503


class NoQuorum(Unavailable):
    """Too few followers answer. Fields: database, answering, needed."""

    def __init__(self, database: str, answering: int, needed: int) -> None:
        super().__init__(database, answering, needed)
        self.database, self.answering, self.needed = database, answering, needed

    def __str__(self) -> str:
        return (
            f"{self.database}: {self.answering} durability followers answer, {self.needed} are needed. "
            "The query was not run. Try again when followers are back (`raylite status` shows them)."
        )


class NotPrimary(Unavailable):
    """The actor asked is not, or no longer, the primary. Fields: database, epoch."""

    def __init__(self, database: str, epoch: int) -> None:
        super().__init__(database, epoch)
        self.database, self.epoch = database, epoch

    def __str__(self) -> str:
        return (
            f"{self.database}: this actor (epoch {self.epoch}) is not the primary. The query was not run. "
            "Resolve the primary again and repeat it."
        )


class Unreachable(Unavailable):
    """No actor could be asked before the deadline. Fields: what, reason."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what, self.reason = what, reason

    def __str__(self) -> str:
        return f"{self.what} cannot be reached: {self.reason}. Nothing was run. Try again."


class Overloaded(Unavailable):
    """A bounded queue is full. Fields: what, limit."""

    http_status = 429

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(what, limit)
        self.what, self.limit = what, limit

    def __str__(self) -> str:
        return f"{self.what}: {self.limit} wait already. The query was not run. Try again later."


class Interrupted(Unavailable):
    """Stopped from outside before its end. Field: what."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} was stopped before its end. Nothing was applied. Try again."


class StorageFull(Unavailable):
    """No space left on a disk that the write needs. Fields: what, message."""

    http_status = 507

    def __init__(self, what: str, message: str) -> None:
        super().__init__(what, message)
        self.what, self.message = what, message

    def __str__(self) -> str:
        return f"{self.what}: {self.message}. Nothing was applied. Free space on that disk and try again."


class Unauthorized(Unavailable):
    """A connection whose token does not fit. Field: what."""

    http_status = 401

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what}: the cluster token differs. Nothing was run. Use the token of this cluster."


class PartlyApplied(Error):
    """A query that failed after a part of it was committed. Fields: class of the error, its text, what stays."""

    http_status = 400
    may_have_applied = True

    def __init__(self, kind: str, cause: str, kept: str) -> None:
        super().__init__(kind, cause, kept)
        self.kind, self.cause, self.kept = kind, cause, kept

    def __str__(self) -> str:
        return f"{self.cause} This concerns the statement that failed: {self.kept}."


class OutcomeUnknown(Error):
    """Nobody can say whether the write took effect. Fields: database, reason."""

    http_status = 504
    may_have_applied = True

    def __init__(self, database: str, reason: str) -> None:
        super().__init__(database, reason)
        self.database, self.reason = database, reason

    def __str__(self) -> str:
        return (
            f"{self.database}: {self.reason}. The write may or may not have taken effect. "
            "Read before you repeat it."
        )


class NoReply(OutcomeUnknown):
    """A request left, its reply did not come. Fields: the actor asked, reason.

    For a read this is as good as `Unreachable`; only who asked knows which it was.
    """


class StorageFailed(OutcomeUnknown):
    """The disk failed a write or a sync: nobody knows what it holds until the next start. Fields: what, reason."""

    http_status = 500

    def __str__(self) -> str:
        return (
            f"{self.database}: {self.reason}. What was being written may or may not be there. "
            "This actor stops, and finds out at its next start."
        )


class Corrupt(Error):
    """Damage that was found and not passed on. Fields: what, where, reason."""

    def __init__(self, what: str, where: str, reason: str) -> None:
        super().__init__(what, where, reason)
        self.what, self.where, self.reason = what, where, reason

    def __str__(self) -> str:
        return f"{self.what} is damaged at {self.where}: {self.reason}. It is given up and rebuilt from its peers."


def _tree(root: type[Error]) -> dict[str, type[Error]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


def encode(error: Error) -> tuple[str, tuple[str | int | float, ...]]:
    """Class name and fields of an error, for a wire without pickle."""
    return type(error).__name__, error.args


def decode(name: str, fields: tuple[str | int | float, ...]) -> Error:
    """The error that `encode` took apart; an unknown class becomes a plain `Error` with its fields."""
    kind = _tree(Error).get(name)
    return Error(name, *fields) if kind is None else kind(*fields)
