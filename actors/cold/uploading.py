"""When to upload what: the rules of one database's uploads, without I/O.

A segment is cut when enough waits or something has waited long enough. A store that fails is tried again after waits
that double. Nothing stops the writer before `COLD_WAITING_BYTES` wait; followers keep all that waits.
"""

from __future__ import annotations

from typing import Final

import msgspec

from raylite.policies.backoff import Backoff
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Overloaded
from raylite.policies.limits import (
    COLD_LONGEST_RETRY_SECONDS,
    COLD_RETRY_SECONDS,
    COLD_SEGMENT_BYTES,
    COLD_SEGMENT_SECONDS,
    COLD_WAITING_BYTES,
)

_BACKOFF: Final = Backoff(COLD_RETRY_SECONDS, COLD_LONGEST_RETRY_SECONDS)


class UploadState(msgspec.Struct, frozen=True):
    """How uploads stand. held: text of the newest entry that is held, "" if that is not known yet.

    waiting_bytes, waiting_seconds: confirmed entries that are not uploaded, and for how long the oldest of them has
    waited; problem: what the last attempt failed with, "" if all is well.
    """

    held: str
    waiting_bytes: int
    waiting_seconds: float
    problem: str


class Look(msgspec.Struct, frozen=True):
    """Find out what is held."""


class Cut(msgspec.Struct, frozen=True):
    """Upload the pieces behind `after`, about `limit` bytes at most."""

    after: Bookmark
    limit: int


class Uploading:
    """Uploads of one database, one attempt at a time. now: seconds on a clock that never goes back.

    held: the newest whole entry that cold storage is known to hold, None before that is known. It goes back only if
    cold storage turns out to have lost something.
    """

    def __init__(self, waiting_limit: int = COLD_WAITING_BYTES) -> None:
        self.held: Bookmark | None = None
        self.waiting_bytes = 0
        self._end: Bookmark | None = None
        self._waiting_limit = waiting_limit
        self._oldest: float | None = None
        self._under_way = False
        self._since_bytes = 0
        self._since: float | None = None
        self._hurry: Bookmark | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._problem = ""

    def confirmed(self, size: int, now: float) -> None:
        """More is confirmed, `size` bytes of pieces."""
        self.waiting_bytes += size
        self._since_bytes += size
        self._since = now if self._since is None else self._since
        self._oldest = now if self._oldest is None else self._oldest

    def hurry(self, place: Bookmark) -> None:
        """Upload everything up to the confirmed entry `place` now, however little: for a fork, or before a stop."""
        if not self._covers(place):
            self._hurry = place

    def next_at(self) -> float | None:
        """When `begin` will have something to do; None: not before something else happens."""
        if self._under_way:
            return None
        if self.held is None or self._hurry or self.waiting_bytes >= COLD_SEGMENT_BYTES:
            return self._retry_at
        if self._oldest is None:
            return None
        return max(self._retry_at, self._oldest + COLD_SEGMENT_SECONDS)

    def begin(self, now: float) -> Look | Cut | None:
        """What is to be done now, if anything; then `found`, `uploaded` or `failed` says how it went."""
        due = self.next_at()
        if due is None or due > now:
            return None
        self._under_way = True
        self._since_bytes, self._since = 0, None
        return Look() if self._end is None else Cut(self._end, COLD_SEGMENT_BYTES)

    def found(self, held: Bookmark, waiting_bytes: int, now: float) -> None:
        """Cold storage holds everything up to `held`. waiting_bytes: confirmed behind that, 0 if nobody knows.

        A store that answers this and refuses what is uploaded is one that fails, so failures count on.
        """
        self._under_way, self._retry_at = False, 0.0
        self.held = self._end = held
        self.waiting_bytes = max(self.waiting_bytes, waiting_bytes)
        if not self.waiting_bytes:
            self._succeed()
        elif self._oldest is None:
            self._oldest = now

    def uploaded(self, end: Bookmark, whole: Bookmark | None, size: int, *, drained: bool) -> None:
        """Everything up to the place `end` is held, `size` bytes more.

        whole: the last entry in there that is whole; drained: all that was confirmed when the attempt began is in.
        """
        self._succeed()
        self._end, self.held = end, whole or self.held
        if drained:
            self.waiting_bytes, self._oldest = self._since_bytes, self._since
        else:
            self.waiting_bytes = max(0, self.waiting_bytes - size)
        if self._hurry and (self._covers(self._hurry) or not size):
            self._hurry = None

    def failed(self, reason: str, now: float, jitter: float) -> None:
        """The attempt failed; the next one begins after a wait. jitter: a random number from 0 to 1."""
        self._under_way = False
        self._retry_at = now + _BACKOFF.delay(self._failures, jitter)
        self._failures += 1
        self._problem = reason
        # An attempt that failed may have uploaded something: the next one finds out first.
        self._end = None

    def admit(self) -> None:
        """Raises `Overloaded` if so much waits that no more may be written."""
        if self.waiting_bytes > self._waiting_limit:
            reason = self._problem or "it is slower than the writers"
            raise Overloaded(f"bytes for cold storage ({reason})", self._waiting_limit)

    def state(self, now: float) -> UploadState:
        """How uploads stand."""
        waited = 0.0 if self._oldest is None else now - self._oldest
        return UploadState(str(self.held or ""), self.waiting_bytes, waited, self._problem)

    def _covers(self, place: Bookmark) -> bool:
        held = self.held
        return held is not None and (held.epoch, held.sequence) >= (place.epoch, place.sequence)

    def _succeed(self) -> None:
        self._under_way = False
        self._failures = 0
        self._retry_at = 0.0
        self._problem = ""
