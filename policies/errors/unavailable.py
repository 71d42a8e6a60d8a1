"""Not run: try again, or elsewhere. Nothing was applied."""

from __future__ import annotations

from raylite.policies.errors.base import Error


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


class KeyForgotten(Unavailable):
    """So many writes were made since this one's `since` that nobody knows of another attempt. Field: the database.

    Its bookmark is a newer one, with which a router asks again if there was no other attempt; callers get
    `OutcomeUnknown` if there was.
    """

    def __init__(self, database: str) -> None:
        super().__init__(database)
        self.database = database

    def __str__(self) -> str:
        return (
            f"{self.database}: nobody remembers whether this write was made before. This attempt was not run. "
            "Ask again with a newer bookmark if it is the only one."
        )


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
