"""The caller's fault: the same call fails again. Nothing was applied."""

from __future__ import annotations

from raylite.policies.errors.base import Error


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
