"""The followers whose word counts: the members, and what a quorum of them has said by now."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from raylite.actors.core.peer import Peer, peer_of
from raylite.actors.core.window import Window
from raylite.policies import limits
from raylite.policies.quorum import Member, Members, agreed, is_quorum


class Voters:
    """The members, and the newcomers that are to become some, among a leader's `peers`.

    Invariant: every member is among the peers.
    """

    def __init__(self, members: Members, peers: dict[str, Peer], window: Window, now: float) -> None:
        self.members = members
        self._peers, self._window = peers, window
        self.add(members.everyone, now)

    def use(self, members: Members, now: float) -> None:
        """From now on these count."""
        self.members = members
        self.add(members.everyone, now)

    def add(self, members: Iterable[Member], now: float) -> None:
        """Make peers of those who are none yet."""
        for member in members:
            if peer_of(member) not in self._peers:
                self._peers[peer_of(member)] = self._make_peer(member, now)

    def _make_peer(self, member: Member, now: float) -> Peer:
        return Peer(peer_of(member), member, self._window.start, now)

    def drop_former(self, newcomers: Iterable[Member]) -> None:
        """Forget the followers that are neither members nor `newcomers`."""
        known = {peer_of(member) for member in (*self.members.everyone, *newcomers)}
        for peer_id in [one.id for one in self._peers.values() if one.member and one.id not in known]:
            del self._peers[peer_id]

    # What they have acknowledged

    def acked(self, member: Member) -> int:
        """The ordinal below which this follower has acknowledged everything."""
        return self._peers[peer_of(member)].acked

    def agreed_ordinal(self) -> int:
        """The ordinal below which a quorum has acknowledged everything."""
        return int(agreed(self.members, self.acked))

    def leased_until(self) -> float:
        """When the lease ends that a quorum has renewed by what it acknowledged."""
        return agreed(self._deciding(), self._lease_start) + limits.LEASE_SECONDS - limits.LEASE_DRIFT_SECONDS

    def holding(self, ordinal: int) -> list[Member]:
        """The followers that have acknowledged everything below `ordinal`."""
        return [one.member for one in self._peers.values() if one.member and one.acked >= ordinal]

    def _lease_start(self, member: Member) -> float:
        return self._peers[peer_of(member)].acknowledged_send

    # How they are

    def answers(self, member: Member, now: float) -> bool:
        """Whether this follower has answered lately."""
        return now - self._peers[peer_of(member)].heard_at < limits.PEER_SILENCE_SECONDS

    def answering(self, now: float) -> int:
        """How many followers have answered lately."""
        return sum(self.answers(member, now) for member in self.members.everyone)

    def has_quorum(self, now: float) -> bool:
        """Whether enough followers have answered lately for a write to have a chance."""
        return self._is_quorum(lambda peer: True, now)

    def has_room(self, now: float) -> bool:
        """Whether enough of those who answer have room on their disks for new writes to be begun."""
        return self._is_quorum(lambda peer: not peer.low, now)

    def can_store(self, now: float) -> bool:
        """Whether enough of those who answer still take what is sent to them."""
        return self._is_quorum(lambda peer: not peer.full, now)

    @property
    def low(self) -> list[str]:
        """The followers that have said that their disks have little room, or none."""
        return sorted(one.follower for one in self.members.everyone if self._peers[peer_of(one)].low)

    def _is_quorum(self, fits: Callable[[Peer], bool], now: float) -> bool:
        deciding = self._deciding()
        chosen = [one for one in deciding.everyone if fits(self._peers[peer_of(one)])]
        return is_quorum(deciding, [one for one in chosen if self.answers(one, now)])

    def _deciding(self) -> Members:
        """Of whom a quorum is needed, of every set, for a lease and for anything new to begin."""
        return self.members
