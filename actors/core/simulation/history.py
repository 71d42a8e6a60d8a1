"""What clients asked and what they were told."""

from __future__ import annotations

import enum

from raylite.policies.bookmark import Bookmark


class Kind(enum.Enum):
    """WRITE changes pages; READ reads page 1 and another; FAIL reads page 1 and ends in an error that tells of it."""

    WRITE = "write"
    READ = "read"
    FAIL = "fail"


class Outcome(enum.Enum):
    """PENDING: no answer yet; DONE: answered; UNKNOWN: nobody can say; REFUSED: certainly not run."""

    PENDING = "pending"
    DONE = "done"
    UNKNOWN = "unknown"
    REFUSED = "refused"


class Operation:
    """One query of one session, from asking to the answer.

    write: the number of this write, unique; pages: what it changes, or what is read beside page 1; primary: only the
    primary may answer; floor: newest sequence that the session had been shown before; latest: newest sequence that
    any client had been told of by a primary before.
    seen: the write that the answer found in page 1 (0: none); value: the one that it found in the other page.
    """

    __slots__ = (
        "bookmark", "by_primary", "deadline", "ended", "floor", "kind", "latest", "outcome", "pages", "per_piece",
        "primary", "seen", "session", "started", "value", "write",
    )  # fmt: skip

    def __init__(self, session: str, kind: Kind, write: int, pages: list[int]) -> None:
        self.session, self.kind, self.write, self.pages = session, kind, write, pages
        self.per_piece = len(pages)
        self.primary = False
        self.floor = self.latest = 0
        self.started = self.ended = self.deadline = 0.0
        self.outcome = Outcome.PENDING
        self.seen = self.value = 0
        self.bookmark: Bookmark | None = None
        self.by_primary = False

    def __repr__(self) -> str:
        return (
            f"{self.session} {self.kind.value} {self.write or self.pages} {self.started:.3f}-{self.ended:.3f} "
            f"{self.outcome.value} seen={self.seen} value={self.value} floor={self.floor} latest={self.latest}"
        )
