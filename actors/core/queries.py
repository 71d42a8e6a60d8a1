"""A reign's queries: which may run, and when their responses may leave (docs/architecture.md, The primary)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from raylite.actors.core.history import History
from raylite.actors.core.leader import Leader
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import (
    Error,
    NoQuorum,
    NotPrimary,
    OutcomeUnknown,
    Overloaded,
    StorageFull,
    Unavailable,
)
from raylite.policies.gate import Gate
from raylite.policies.quorum import majority


class Respond(msgspec.Struct, frozen=True):
    """Let the response that `token` stands for leave; `error` instead of it if there is one."""

    token: object
    bookmark: Bookmark
    error: Error | None


class Waiting(msgspec.Struct, frozen=True):
    """A response at the gate. mark: the newest entry that it may have seen; wrote: whether it made an entry.

    It waits until its deadline; if `since` is given, not longer either than CONFIRM_SECONDS from then on, or from
    when followers last got further: the log has one order, so what they store leads to the mark.
    """

    token: object
    mark: Bookmark
    wrote: bool
    deadline: float
    since: float | None = None


class Queries:
    """Those that run or wait. `_leased`: responses whose mark is confirmed, but without the lease that they need.

    Invariants: at most WAITING_QUERIES are admitted and not dismissed; once it has ended, only errors leave.
    """

    def __init__(self, name: str, leader: Leader, history: History) -> None:
        self.name = name
        self._leader, self._history = leader, history
        self._gate: Gate[Waiting] = Gate(limits.WAITING_QUERIES)
        self._leased: list[Waiting] = []
        self._admitted = 0
        self._over = False

    # Before they run

    def admit(self, bookmark: Bookmark | None, now: float) -> None:
        """Raises unless a query may run now: `NoQuorum`, `Overloaded`, `NotPrimary`, `BookmarkError`,
        or `StorageFull` if not even a read could be answered.

        Whoever is admitted is to be `dismissed`, once.
        """
        voters = self._leader.voters
        if not voters.has_quorum(now):
            raise self._no_quorum(voters.answering(now))
        if self._leader.confirmation.unconfirmed and not voters.can_store(now):
            raise self._full()
        if self._admitted >= limits.WAITING_QUERIES:
            raise Overloaded(
                f"{self.name}: queries that run or wait for confirmation", limits.WAITING_QUERIES
            )
        if bookmark is not None:
            self._check_bookmark(bookmark, now)
        self._admitted += 1

    def dismissed(self) -> None:
        """A query that was admitted has its response, or has come to nothing."""
        self._admitted -= 1

    def refusal_of_writes(self, now: float) -> StorageFull | None:
        """Why no write may begin now, though reads may: too few followers have room for it; None if it may."""
        return None if self._leader.voters.has_room(now) else self._full()

    def _check_bookmark(self, bookmark: Bookmark, now: float) -> None:
        """A bookmark of a later reign means that this one may be over; while its lease runs there is no later one."""
        self._history.check_database(bookmark)
        if bookmark.epoch > self._leader.epoch and not self._leader.may_answer(now):
            raise self._not_primary()
        self._history.check(bookmark)

    # After they ran

    def finished(self, waiting: Waiting, now: float) -> list[Respond]:
        """A query has run: its response leaves when all that it may have seen is confirmed."""
        if self._over:
            return [self._refuse(waiting)]
        if waiting.mark.sequence <= self._leader.confirmed.sequence:
            return self._release([waiting], now)
        self._gate.wait(waiting.mark.sequence, waiting)
        return []

    def confirmed(self, place: Bookmark, now: float) -> list[Respond]:
        """The responses that waited for this entry."""
        return self._release(self._gate.confirmed(place.sequence), now)

    def retry(self, now: float) -> list[Respond]:
        """The responses that waited for the lease, if it runs again."""
        if not self._leased:
            return []
        waiting, self._leased = self._leased, []
        return self._release(waiting, now)

    def expire(self, now: float) -> list[Respond]:
        """Errors for those that have waited too long."""
        late = [*self._gate.drop(lambda one: self._is_late(one, now))]
        late += [one for one in self._leased if self._is_late(one, now)]
        self._leased = [one for one in self._leased if not self._is_late(one, now)]
        return [self._refuse(one) for one in late]

    def end(self) -> list[Respond]:
        """The reign is over: whoever waits is told that the outcome is unknown, or to ask again."""
        self._over = True
        waiting = [*self._gate.break_(self._not_primary()), *self._leased]
        self._leased = []
        return [self._refuse(one) for one in waiting]

    def _release(self, waiting: Sequence[Waiting], now: float) -> list[Respond]:
        """A write's quorum proves that it was the leader's; whatever only read needs the lease, now, after it ran."""
        leased = self._leader.may_answer(now)
        self._leased += [one for one in waiting if not (one.wrote or leased)]
        return [Respond(one.token, one.mark, None) for one in waiting if one.wrote or leased]

    def _is_late(self, waiting: Waiting, now: float) -> bool:
        if waiting.deadline <= now or waiting.since is None:
            return waiting.deadline <= now
        return now - max(waiting.since, self._leader.confirmation.agreed_at) >= limits.CONFIRM_SECONDS

    # Refusals

    def _refuse(self, waiting: Waiting) -> Respond:
        error = self._outcome_unknown() if waiting.wrote else self._unavailable()
        return Respond(waiting.token, waiting.mark, error)

    def _outcome_unknown(self) -> OutcomeUnknown:
        if self._over:
            return OutcomeUnknown(self.name, "another primary took over")
        low = ", ".join(self._leader.voters.low)
        full = f" (no room left on the disks of {low})" if low else ""
        return OutcomeUnknown(self.name, f"too few durability followers confirmed it in time{full}")

    def _unavailable(self) -> Unavailable | StorageFull:
        if self._over:
            return self._not_primary()
        return self._full() if self._leader.voters.low else self._no_quorum(0)

    def _not_primary(self) -> NotPrimary:
        return NotPrimary(self.name, self._leader.epoch)

    def _no_quorum(self, answering: int) -> NoQuorum:
        return NoQuorum(self.name, answering, majority(len(self._leader.members.current)))

    def _full(self) -> StorageFull:
        names = ", ".join(self._leader.voters.low)
        return StorageFull(f"{self.name}'s durability followers", f"no room left on the disks of {names}")
