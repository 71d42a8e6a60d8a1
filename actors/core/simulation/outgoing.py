"""A primary's connections: appends to followers and replicas, reads from followers, and the bytes of its window."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from raylite.actors.core import messages as m
from raylite.actors.core.catching_up import Fetch, Forward, Rebase
from raylite.actors.core.leader import Diverge
from raylite.actors.core.peer import peer_of
from raylite.actors.core.shipping import Ship
from raylite.actors.core.simulation.entries import Made
from raylite.actors.core.simulation.network import Connection, Link
from raylite.actors.core.simulation.world import Process, World
from raylite.actors.core.takeover import Ask
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import NotPrimary
from raylite.policies.quorum import Member

if TYPE_CHECKING:
    from raylite.actors.core.simulation.followers import Answer
    from raylite.actors.core.simulation.primaries import Primary
    from raylite.actors.core.simulation.replicas import Replica

Effect = Ship | Ask | Forward | Fetch | Rebase | Diverge
READ_BYTES = 1500
LOST_BYTES = 0.02
"""Share of confirmations after which the bytes of some confirmed pieces are not at hand any more."""


class Outgoing:
    """What leaves a primary, and how answers come back."""

    def __init__(self, primary: Primary) -> None:
        self._primary = primary
        self._links: dict[str, Link] = {}
        self._replicas: dict[str, tuple[Replica, Connection]] = {}
        self._informed: set[str] = set()
        self._bytes: dict[int, bytes] = {}
        self._held_up: dict[str, deque[Ship]] = {}

    def link(self, members: Sequence[Member]) -> None:
        """Keeps a connection to each of these."""
        for member in members:
            peer = peer_of(member)
            if peer not in self._links:
                self._links[peer] = Link(
                    self._primary.around.network,
                    self._primary,
                    partial(self._primary.around.follower, member.follower),
                    partial(self._up, peer),
                    partial(self._down, peer),
                )

    def _up(self, peer: str, _: Connection) -> None:
        self._primary.carry_out(self._primary.core.connected(peer, self._primary.now()))

    def _down(self, peer: str) -> None:
        self._held_up.pop(peer, None)
        self._primary.core.lost(peer)

    def carry_out(self, effect: Effect) -> None:
        """Sends what the core wants sent."""
        match effect:
            case Ship():
                self._ship(effect)
            case Ask():
                self._ask(effect)
            case Forward():
                self._append(effect, list(effect.pieces))
            case Fetch():
                self.read(effect.source, effect.after, partial(self._fetched, effect))
            case Rebase():
                self._rebase(effect)
            case Diverge():
                self._diverge(effect.peer)

    # Followers

    def _post(self, member: Member, message: m.ToFollower, answer: Answer) -> None:
        self.link([member])
        connection = self._links[peer_of(member)].connection
        if connection is None:
            return
        target = self._primary.around.follower(member.follower)
        if connection.acceptor is target:
            reply = partial(_send_back, connection, target, answer)
            connection.send(self._primary, partial(target.receive, message, reply))
        else:
            connection.break_()

    def _ask(self, effect: Ask) -> None:
        """Asks for a promise."""
        peer = peer_of(effect.member)
        self._post(effect.member, effect.message, partial(self._received, peer))

    def release(self, member: Member) -> None:
        """Tells a follower that the lease is given up."""
        core = self._primary.core
        self._post(member, m.Release(core.database, member.incarnation, core.epoch), _ignore)

    def trim(self, member: Member, held: Bookmark) -> None:
        """Tells a follower what cold storage holds."""
        self._post(member, m.Trim(self._primary.core.database, member.incarnation, held), _ignore)

    def _rebase(self, effect: Rebase) -> None:
        """Lets a follower begin anew behind what nobody else holds any more."""
        leader = self._primary.core.leader
        member = leader.peers[effect.peer].member if leader and effect.peer in leader.peers else None
        if leader is not None and member is not None:
            message = m.Rebase(leader.database, member.incarnation, effect.number, leader.epoch, effect.base)
            self._post(member, message, partial(self._received, effect.peer))

    def read(self, member: Member, after: Bookmark, answer: Answer) -> None:
        """Asks a follower for what follows `after`."""
        self._post(member, m.Read(self._primary.core.database, member.incarnation, after, READ_BYTES), answer)

    def _fetched(self, effect: Fetch, reply: m.FromFollower) -> None:
        primary = self._primary
        pieces = (
            primary.around.cores.describe(reply.after, reply.pieces) if isinstance(reply, m.Pieces) else []
        )
        primary.carry_out(primary.core.fetched(effect.peer, reply, pieces, primary.now()))

    def _received(self, peer: str, reply: m.FromFollower) -> None:
        self._primary.carry_out(self._primary.core.received(peer, reply, self._primary.now()))

    # Appends

    def add(self, made: Sequence[Made], first: int) -> None:
        """Takes the bytes of new pieces."""
        for ordinal, one in enumerate(made, first):
            self._bytes[ordinal] = one.encoded

    def shrink(self, world: World) -> None:
        """Forgets what the window has forgotten, and now and then more of what is confirmed."""
        leader = self._primary.core.leader
        assert leader is not None, "a leader confirms"
        confirmed = leader.window.find(leader.confirmed)
        if confirmed is not None and world.chance(LOST_BYTES):
            for ordinal in [one for one in self._bytes if one < confirmed]:
                del self._bytes[ordinal]

    def _ship(self, effect: Ship) -> None:
        """Sends an append now if its bytes are at hand and nothing waits before it."""
        waiting = self._held_up.get(effect.peer)
        data = [self._bytes.get(ordinal) for ordinal in range(effect.first, effect.end)]
        pieces = [one for one in data if one is not None]
        if waiting is None and len(pieces) == len(data):
            self._append(effect, pieces)
        elif waiting is None:
            self._held_up[effect.peer] = deque([effect])
            self._primary.after(0.005 * self._primary.world.random.random(), partial(self._missing, effect))
        else:
            waiting.append(effect)

    def _missing(self, effect: Ship) -> None:
        waiting = self._held_up.get(effect.peer)
        if waiting is None or waiting[0] is not effect:
            return
        del self._held_up[effect.peer]
        primary = self._primary
        primary.carry_out(primary.core.missing(effect.peer, effect.first, primary.now()))

    def _append(self, effect: Ship | Forward, pieces: list[bytes]) -> None:
        leader = self._primary.core.leader
        if leader is None or effect.peer not in leader.peers:
            return
        member = leader.peers[effect.peer].member
        message = m.Append(
            self._primary.core.database,
            member.incarnation if member else "",
            effect.number,
            leader.epoch,
            self._primary.core.directory,
            effect.previous,
            pieces,
            effect.place,
            effect.confirmed,
            1,
            () if member else self._epochs(effect.peer),
        )
        if member is not None:
            self._post(member, message, partial(self._received, effect.peer))
        else:
            self._send(effect.peer, message)

    def _epochs(self, peer: str) -> tuple[tuple[int, int], ...]:
        history = self._primary.core.history
        if peer in self._informed or history is None:
            return ()
        self._informed.add(peer)
        return history.epochs

    # Replicas

    def follow(self, replica: Replica, connection: Connection, message: m.Follow) -> None:
        """A replica asks for the stream over this connection; one that is not open yet closes it."""
        peer = message.replica
        self._drop(peer)
        self._replicas[peer] = (replica, connection)
        try:
            effects = self._primary.core.follow(peer, message.confirmed, self._primary.now())
        except NotPrimary:
            del self._replicas[peer]
            connection.close(self._primary)
            return
        connection.on_close(self._primary, partial(self._replica_gone, peer, connection))
        self._primary.carry_out(effects)

    def _drop(self, peer: str) -> None:
        if peer in self._replicas:
            _, connection = self._replicas[peer]
            connection.close(self._primary)

    def _replica_gone(self, peer: str, connection: Connection) -> None:
        if peer in self._replicas and self._replicas[peer][1] is connection:
            del self._replicas[peer]
            self._informed.discard(peer)
            self._down(peer)

    def _send(self, peer: str, message: m.Append | m.Diverged) -> None:
        if peer in self._replicas:
            replica, connection = self._replicas[peer]
            answer = partial(_send_back, connection, replica, partial(self._received, peer))
            connection.send(self._primary, partial(replica.stream, message, answer))

    def _diverge(self, peer: str) -> None:
        """Tells a replica that what it holds is not in the log."""
        self._send(peer, m.Diverged(self._primary.core.database, self._primary.core.epoch))
        self._informed.discard(peer)


def _send_back(connection: Connection, sender: Process, answer: Answer, message: m.FromFollower) -> None:
    connection.send(sender, partial(answer, message))


def _ignore(reply: m.FromFollower) -> None:
    """Nobody waits for this answer."""
