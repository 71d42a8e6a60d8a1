"""A part stays, nobody can say what was applied, or there is damage."""

from __future__ import annotations

from raylite.policies.errors.base import Error


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


class OutcomeNotKept(Error):
    """A repetition of a write that took effect, whose rows are gone. Fields: bytes of rows that would be kept."""

    http_status = 409
    may_have_applied = True

    def __init__(self, kept: int) -> None:
        super().__init__(kept)
        self.kept = kept

    def __str__(self) -> str:
        return (
            "The answer to a write was lost. It took effect, once, but its results are larger than the "
            f"{self.kept:,} bytes that are kept for a second attempt. Read what you need of them."
        )


class Corrupt(Error):
    """Damage that was found and not passed on. Fields: what, where, reason."""

    def __init__(self, what: str, where: str, reason: str) -> None:
        super().__init__(what, where, reason)
        self.what, self.where, self.reason = what, where, reason

    def __str__(self) -> str:
        return f"{self.what} is damaged at {self.where}: {self.reason}. It is given up and rebuilt from its peers."
