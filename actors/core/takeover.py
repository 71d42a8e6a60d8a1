"""Taking a database over: promises of a quorum for an epoch above all seen (docs/architecture.md, Taking over)."""

from __future__ import annotations

import msgspec

from raylite.actors.core import messages as m
from raylite.policies.bookmark import Bookmark
from raylite.policies.limits import PROMISE_SECONDS, RETRY_SECONDS
from raylite.policies.quorum import Member, Members, is_quorum


class Ask(msgspec.Struct, frozen=True):
    """Send this request to a follower."""

    member: Member
    message: m.Promise


class Adopted(msgspec.Struct, frozen=True):
    """A quorum promised: go on from `tail`, which `source` holds.

    confirmed: the highest confirmed mark among the answers; epochs: of the adopted log; tail_us: its last time.
    """

    epoch: int
    tail: Bookmark
    confirmed: Bookmark
    source: Member
    members: Members
    epochs: tuple[tuple[int, int], ...]
    tail_us: int


class Takeover:
    """One attempt after another until a quorum has promised the same epoch.

    Invariant: all of `promises` are for `epoch`. A refusal tells a higher epoch, the next attempt goes above it.
    """

    def __init__(self, database: str, members: Members, directory: str, *, jitter: float) -> None:
        """`jitter`, 0 to 1, keeps two that take over at once from refusing each other for ever.

        The first refusal only tells which epochs there were, so the next attempt follows at once.
        """
        self.database, self.members, self.directory = database, members, directory
        self.epoch = 0
        self.promises: dict[Member, m.Promised] = {}
        self.adopted: Adopted | None = None
        self._highest = 0
        self._number = 0
        self._jitter = jitter
        self._first = True
        self._next_attempt = 0.0
        self._next_ask = 0.0

    def tick(self, now: float) -> list[Ask]:
        """Asks again whoever has not answered; starts a new attempt after a refusal."""
        if self.adopted is not None:
            return []
        if self.epoch <= self._highest and now >= self._next_attempt:
            self._begin(now)
        if self.epoch <= self._highest or now < self._next_ask:
            return []
        self._next_ask = now + PROMISE_SECONDS
        return [self._ask(member) for member in self.members.everyone if member not in self.promises]

    def learn(self, members: Members) -> None:
        """Somebody says that these are the members: ask them, too. What counts is still what the newest log says."""
        if self.adopted is None and members != self.members:
            self.members = members
            self._next_ask = 0.0

    def connected(self, member: Member) -> list[Ask]:
        """A connection to `member` is there (again): what was asked before may have been lost with the old one."""
        if self.adopted or self.epoch <= self._highest or member in self.promises:
            return []
        return [self._ask(member)]

    def received(self, member: Member, reply: m.FromFollower, now: float) -> Adopted | None:
        """Takes a follower's answer; the one that makes a quorum returns what is adopted."""
        if self.adopted is not None:
            return None
        match reply:
            case m.Refused():
                self._refused(reply.epoch, now)
            case m.Promised() if reply.epoch == self.epoch:
                self.promises[member] = reply
                return self._adopt()
            case _:
                pass
        return None

    def _begin(self, now: float) -> None:
        self.epoch = self._highest + 1
        self.promises = {}
        self._next_ask = now

    def _ask(self, member: Member) -> Ask:
        self._number += 1
        message = m.Promise(self.database, member.incarnation, self._number, self.epoch, self.directory)
        return Ask(member, message)

    def _refused(self, promised: int, now: float) -> None:
        if promised > self._highest:
            self._highest = promised
            self._next_attempt = now if self._first else now + RETRY_SECONDS * self._jitter
            self._first = False

    def _adopt(self) -> Adopted | None:
        source, best = max(self.promises.items(), key=lambda item: _rank(item[1].tail))
        if best.members != self.members:
            newest = best.members
            if any(member not in self.members.everyone for member in newest.everyone):
                self._next_ask = 0.0
            self.members = newest
        if self.epoch <= self._highest or not is_quorum(self.members, self.promises):
            return None
        confirmed = max((one.confirmed for one in self.promises.values()), key=_rank)
        self.adopted = Adopted(
            self.epoch, best.tail, confirmed, source, self.members, best.epochs, best.tail_us
        )
        return self.adopted


def _rank(place: Bookmark) -> tuple[int, int]:
    return place.epoch, place.sequence
