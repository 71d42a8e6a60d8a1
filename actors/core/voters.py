"""The followers whose word counts: the members, and what a quorum of them has said by now."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from raylite.actors.core.peer import Peer, peer_of
from raylite.actors.core.window import Window
from raylite.policies import limits
from raylite.policies.quorum import Member, Members, agreed, is_quorum


class Voters:
    """The members, and newcomers that are to become some. `_peers`: the leader's, replicas too.

    Invariant: `_followers` are all members and newcomers, and are those of the peers that are no replicas.
    """

    def __init__(self, members: Members, peers: dict[str, Peer], window: Window, now: float) -> None:
        self.members = members
        self._peers, self._window = peers, window
        self._followers: dict[Member, Peer] = {}
        self.add(members.everyone, now)

    def use(self, members: Members, now: float) -> None:
        """From now on these count."""
        self.members = members
        self.add(members.everyone, now)

    def add(self, members: Iterable[Member], now: float) -> None:
        """Make peers of those who are none yet."""
        for member in members:
            if member not in self._followers:
                peer = self._make_peer(member, now)
                self._followers[member] = self._peers[peer.id] = peer

    def _make_peer(self, member: Member, now: float) -> Peer:
        return Peer(peer_of(member), member, self._window.start, now)

    def drop_former(self, newcomers: Iterable[Member]) -> None:
        """Forget the followers that are neither members nor `newcomers`."""
        known = {*self.members.everyone, *newcomers}
        for member in [one for one in self._followers if one not in known]:
            del self._peers[self._followers.pop(member).id]

    # What they have acknowledged

    def acked(self, member: Member) -> int:
        """The ordinal below which this follower has acknowledged everything."""
        return self._followers[member].acked

    def agreed_ordinal(self) -> int:
        """The ordinal below which a quorum has acknowledged everything."""
        return int(agreed(self.members, self.acked))

    def leased_until(self) -> float:
        """When the lease ends that a quorum has renewed by what it acknowledged."""
        return agreed(self._deciding(), self._lease_start) + limits.LEASE_SECONDS - limits.LEASE_DRIFT_SECONDS

    def holding(self, ordinal: int) -> list[Member]:
        """The followers that have acknowledged everything below `ordinal`."""
        return [member for member, peer in self._followers.items() if peer.acked >= ordinal]

    def _lease_start(self, member: Member) -> float:
        return self._followers[member].acknowledged_send

    # How they are

    def answering(self, now: float) -> int:
        """How many members have answered lately."""
        return sum(self._followers[member].answers(now) for member in self.members.everyone)

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
        """The members that have said that their disks have little room, or none."""
        return sorted(member.follower for member in self.members.everyone if self._followers[member].low)

    def _is_quorum(self, fits: Callable[[Peer], bool], now: float) -> bool:
        chosen = [member for member, peer in self._followers.items() if peer.answers(now) and fits(peer)]
        return is_quorum(self._deciding(), chosen)

    def _deciding(self) -> Members:
        """Of whom a quorum is needed, of every set, for a lease and for anything new to begin."""
        return self.members
