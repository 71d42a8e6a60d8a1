"""Carries out what a `PrimaryCore` decides: its connections to followers and replicas, and the bytes it ships."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, cast

from raylite.actors.core import leader as lead
from raylite.actors.core import messages as m
from raylite.actors.core import primary as core
from raylite.actors.core.catching_up import Fetch, Forward, Rebase
from raylite.actors.core.membership import Propose
from raylite.actors.core.peer import peer_of
from raylite.actors.core.piece import describe_all
from raylite.actors.core.queries import Respond, Waiting
from raylite.actors.core.shipping import Ship
from raylite.actors.core.takeover import Adopted, Ask
from raylite.actors.links import Link
from raylite.actors.log_reading import LogReading
from raylite.actors.outbox import Outbox
from raylite.actors.piece_store import PieceStore
from raylite.actors.service import Service, boottime, wall_us
from raylite.actors.storage.entries import Made
from raylite.actors.stream import Connection, Payload
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Error, Unreachable
from raylite.policies.quorum import Member, Members


class Owner(Protocol):
    """Who reigns: what the core wants of the database itself."""

    def begin(self, adopted: Adopted) -> None:
        """Make the reign's first entry and hand it to `Relay.committed`."""

    def replay(self, place: Bookmark) -> None:
        """Bring the file up to this confirmed entry, then call `Relay.replayed`."""

    def propose(self, members: Members) -> None:
        """Make an entry that changes the members and hand it to `Relay.committed`."""

    def confirmed(self, place: Bookmark) -> None:
        """Everything up to this entry is confirmed."""

    def fenced(self, epoch: int) -> None:
        """A higher epoch was promised: the reign is over."""


class Relay:
    """One reign's traffic. All of it runs on the actor's loop."""

    def __init__(self, service: Service, owner: Owner, reign: core.PrimaryCore) -> None:
        self.core = reign
        self._service, self._owner = service, owner
        self._links: dict[str, Link] = {}
        self._outboxes: dict[str, Outbox] = {}
        self._replicas: dict[str, Connection] = {}
        self._informed: set[str] = set()
        self._store: PieceStore | None = None
        self._confirmed_us = 0
        self.read = LogReading(reign, self._link).read
        self._ticker = service.hold(self._tick())

    # Events from the database

    def committed(self, made: Sequence[Made]) -> None:
        """New pieces, in the log's order."""
        if not made or self.core.leader is None:
            return
        if self._store is None:
            self._store = PieceStore(self.core.leader.window)
        self._store.add(made, self.core.leader.window.end)
        self._carry_out(self.core.committed([one.piece for one in made], boottime()))

    def replayed(self) -> None:
        """The file is where `Owner.replay` wanted it."""
        self.core.replayed()

    def finished(self, waiting: Waiting) -> None:
        """A query has run; its response waits for what it may have seen."""
        self._carry_out(self.core.finished(waiting, boottime()))

    def stop(self) -> None:
        """Ends the reign and answers whoever waits."""
        self._carry_out(self.core.stop())
        self._ticker.cancel()

    async def release(self) -> None:
        """Gives the lease up, so that a successor need not wait it out."""
        for member in self.core.members.everyone:
            release = m.Release(self.core.database, member.incarnation, self.core.epoch)
            self._link(member).post(release, lambda reply: None)
        await asyncio.sleep(0)

    def trim(self, held: Bookmark) -> None:
        """Tells followers that cold storage holds everything up to this confirmed entry."""
        for member in self.core.contacts:
            trim = m.Trim(self.core.database, member.incarnation, held)
            self._link(member).post(trim, lambda reply: None)

    def replace_member(self, former: Member, newcomer: Member) -> None:
        """Begins to put one in another's place; nothing happens while a change is under way."""
        current = self.core.members.current
        following = tuple(newcomer if one == former else one for one in current)
        if former in current and newcomer not in current:
            self._carry_out(self.core.change_members(following, boottime()))

    async def ask(self, member: Member, message: m.Join | m.Inspect) -> Payload | None:
        """What this follower answers, whatever its incarnation; raises an `Error`."""
        connection = self._link(member).connection
        if connection is None:
            raise Unreachable(member.follower, "there is no connection to it")
        return await connection.call(message, limits.CALL_SECONDS)

    # Events from the peers

    def follow(self, connection: Connection, message: m.Follow) -> None:
        """A replica asks for the stream over this connection; raises `NotPrimary`."""
        peer = message.replica
        self._drop_replica(peer)
        self._replicas[peer] = connection
        try:
            effects = self.core.follow(peer, message.confirmed, boottime())
        except Error:
            del self._replicas[peer]
            raise
        self._service.hold(self._watch(peer, connection))
        self._carry_out(effects)

    def _link(self, member: Member) -> Link:
        peer = peer_of(member)
        if peer not in self._links:
            self._links[peer] = Link(
                self._service,
                member.follower,
                on_up=lambda connection: self._carry_out(self.core.connected(peer, boottime())),
                on_down=lambda: self._lost(peer),
                handler=lambda connection, payload: None,
            )
        return self._links[peer]

    def _lost(self, peer: str) -> None:
        self._replicas.pop(peer, None)
        self._informed.discard(peer)
        if peer in self._outboxes:
            self._outboxes[peer].clear()
        self.core.lost(peer)

    def _drop_replica(self, peer: str) -> None:
        connection = self._replicas.pop(peer, None)
        if connection is not None:
            connection.close()
            self._lost(peer)

    async def _watch(self, peer: str, connection: Connection) -> None:
        await connection.closed
        if self._replicas.get(peer) is connection:
            self._lost(peer)

    def _received(self, peer: str, reply: Payload | Error | None) -> None:
        if isinstance(reply, m.FromFollower):
            self._carry_out(self.core.received(peer, reply, boottime()))

    # Effects

    def _carry_out(self, effects: Sequence[core.Effect]) -> None:
        for effect in effects:
            match effect:
                case Ask():
                    self._ask(effect)
                case Ship():
                    self._outbox(effect.peer).ship(effect)
                case Forward():
                    self._append(effect, list(effect.pieces))
                case Fetch():
                    self._fetch(effect)
                case Rebase():
                    self._rebase(effect)
                case lead.Diverge():
                    self._diverge(effect.peer)
                case lead.Confirmed():
                    self._confirm(effect.place)
                case _:
                    self._tell_owner(effect)

    def _tell_owner(self, effect: core.Effect) -> None:
        match effect:
            case core.Begin():
                self._owner.begin(effect.adopted)
            case core.Replay():
                self._owner.replay(effect.place)
            case Propose():
                self._owner.propose(effect.members)
            case lead.Fenced():
                self._owner.fenced(effect.epoch)
            case Respond():
                _settle(effect)
            case _:
                raise TypeError(f"no one carries out {effect}")

    def _ask(self, effect: Ask) -> None:
        peer = peer_of(effect.member)
        self._link(effect.member).post(effect.message, lambda reply: self._received(peer, reply))

    def _outbox(self, peer: str) -> Outbox:
        if peer not in self._outboxes:
            assert self._store is not None, "nothing is shipped before the first entry"
            self._outboxes[peer] = Outbox(self._store, self._append, self._missing)
        return self._outboxes[peer]

    def _missing(self, peer: str, first: int) -> None:
        self._carry_out(self.core.missing(peer, first, boottime()))

    def _append(self, effect: Ship | Forward, pieces: list[bytes]) -> None:
        leader = self.core.leader
        peer = effect.peer
        if leader is None or peer not in leader.peers:
            return
        member = leader.peers[peer].member
        message = m.Append(
            self.core.database,
            member.incarnation if member else "",
            effect.number,
            leader.epoch,
            self.core.directory,
            effect.previous,
            pieces,
            effect.place,
            effect.confirmed,
            self._confirmed_us,
            self._epochs(peer) if member is None else (),
        )
        self._post(peer, member, message)

    def _post(self, peer: str, member: Member | None, message: m.Append | m.Diverged) -> None:
        if member is not None:
            self._link(member).post(message, lambda reply: self._received(peer, reply))
        elif peer in self._replicas:
            self._replicas[peer].post(message, lambda reply: self._received(peer, reply))

    def _epochs(self, peer: str) -> tuple[tuple[int, int], ...]:
        if peer in self._informed or self.core.history is None:
            return ()
        self._informed.add(peer)
        return self.core.history.epochs

    def _fetch(self, effect: Fetch) -> None:
        request = m.Read(self.core.database, effect.source.incarnation, effect.after, limits.READ_BYTES)
        self._link(effect.source).post(request, lambda reply: self._fetched(effect, reply))

    def _fetched(self, effect: Fetch, reply: Payload | Error | None) -> None:
        if not isinstance(reply, m.FromFollower):
            reply = m.Unknown(self.core.database, 0)
        pieces = describe_all(reply.after, reply.pieces) if isinstance(reply, m.Pieces) else []
        self._carry_out(self.core.fetched(effect.peer, reply, pieces, boottime()))

    def _rebase(self, effect: Rebase) -> None:
        leader = self.core.leader
        member = leader.peers[effect.peer].member if leader and effect.peer in leader.peers else None
        if leader is not None and member is not None:
            message = m.Rebase(leader.database, member.incarnation, effect.number, leader.epoch, effect.base)
            self._link(member).post(message, lambda reply: self._received(effect.peer, reply))

    def _diverge(self, peer: str) -> None:
        self._post(peer, None, m.Diverged(self.core.database, self.core.epoch))
        self._informed.discard(peer)

    def _confirm(self, place: Bookmark) -> None:
        self._confirmed_us = wall_us()
        if self._store is not None:
            self._store.shrink()
        self._owner.confirmed(place)

    async def _tick(self) -> None:
        while True:
            for member in self.core.contacts:
                self._link(member)
            self._forget_former({peer_of(member) for member in self.core.contacts})
            self._carry_out(self.core.tick(boottime()))
            await asyncio.sleep(limits.LEASE_SECONDS / 20)

    def _forget_former(self, contacts: set[str]) -> None:
        """Nobody is dialled that is neither a member nor to become one."""
        for peer in [one for one in self._links if one not in contacts]:
            self._links.pop(peer).close()


def _settle(effect: Respond) -> None:
    future = cast("asyncio.Future[Bookmark]", effect.token)
    if future.done():
        return
    if effect.error is None:
        future.set_result(effect.bookmark)
    else:
        future.set_exception(effect.error)
