"""Whom a follower follows: the epoch that it has promised, and the lease that it gave."""

from __future__ import annotations

import msgspec

from raylite.actors.core import messages as m
from raylite.actors.core.store import Store, StorePromise
from raylite.policies.limits import LEASE_SECONDS


class Lease(msgspec.Struct, frozen=True):
    """A lease given to the leader of `epoch`, who holds the lock of `directory`, until the clock shows `until`."""

    epoch: int
    directory: str
    until: float


class Asked(msgspec.Struct, frozen=True):
    """Somebody wants a promise; `to` names the request in the reply."""

    message: m.Promise
    to: object


class Allegiance:
    """One follower's promise and lease in one database.

    Invariants: `promised` never falls; no promise may be answered while a lease given to another directory runs.
    """

    def __init__(self, promised: int, started: float) -> None:
        self.promised = promised
        self._lease = self._lease_at_start(started)
        self._waiting: list[Asked] = []

    def _lease_at_start(self, started: float) -> Lease:
        """Whoever was promised something before this start may hold a lease that is forgotten here."""
        return Lease(self.promised, "", started + LEASE_SECONDS if self.promised else started)

    def promise(self, epoch: int) -> list[Store]:
        """From now on no lower epoch than this, which is higher than all before, is accepted."""
        self.promised = epoch
        return [StorePromise(epoch)]

    def waits(self, asked: Asked, now: float) -> bool:
        """Whether the lease of another directory runs; then `asked` is kept, in place of that directory's last wish."""
        directory = asked.message.directory
        if now >= self._lease.until or directory == self._lease.directory:
            return False
        self._waiting = [one for one in self._waiting if one.message.directory != directory]
        self._waiting.append(asked)
        return True

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for a lease to be over."""
        return bool(self._waiting)

    def due(self, now: float) -> list[Asked]:
        """Who waited for a lease that is over by now, the highest epoch first."""
        if not self._waiting or now < self._lease.until:
            return []
        waiting, self._waiting = self._waiting, []
        return sorted(waiting, key=lambda asked: asked.message.epoch, reverse=True)

    def renew(self, epoch: int, directory: str, now: float) -> bool:
        """Whether the lease runs anew; the leader is told, since it counts on what it believes to have."""
        if self._waiting:
            return False
        self._lease = Lease(epoch, directory, now + LEASE_SECONDS)
        return True

    def release(self, epoch: int, now: float) -> None:
        """The leader of `epoch` gives its lease up."""
        if self._lease.epoch == epoch:
            self._lease = Lease(epoch, "", now)

    def end(self, now: float) -> None:
        """The database is deleted: nobody has a lease, and nobody waits for one."""
        self._lease, self._waiting = Lease(self.promised, "", now), []

    def lease_seconds(self, now: float) -> float:
        """How long the lease that was given still runs, 0 if none does."""
        return max(0.0, self._lease.until - now)

    def missed_seconds(self, now: float) -> float:
        """How long ago the lease ended that somebody heard since this start has not released; 0 if it did not."""
        return max(0.0, now - self._lease.until) if self._lease.directory else 0.0
