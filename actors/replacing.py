"""Followers that are gone for good are replaced by others, one after the other, by themselves or by command.

The registry chooses who comes in their place; who the members are is in the log, so only the primary can change it.
A newcomer counts once it holds all that is confirmed (docs/architecture.md, Followers). With too many gone there is no
quorum to change the members, and nothing happens.
"""

from __future__ import annotations

import asyncio

from raylite.actors.core import messages as m
from raylite.actors.core.leader import Leader
from raylite.actors.core.peer import Peer, peer_of
from raylite.actors.finding import AskOnce
from raylite.actors.registrar import Registrar
from raylite.actors.relay import Relay
from raylite.actors.service import boottime
from raylite.policies import limits
from raylite.policies.errors import Error, NotAllowed, NotPrimary, Unreachable
from raylite.policies.quorum import Member, Members


class Replacing:
    """That of one reign. It runs until it is cancelled. problem: why a follower could not be replaced, or ""."""

    def __init__(self, relay: Relay, registrar: Registrar, ask: AskOnce) -> None:
        self._relay, self._registrar, self._ask = relay, registrar, ask
        self._wanted: dict[str, str] = {}
        self._newcomers: dict[Member, Member] = {}
        self._passed_over: set[str] = set()
        self._noted: Members | None = None
        self.problem = ""

    async def run(self) -> None:
        """Looks again and again."""
        while True:
            await asyncio.sleep(limits.REJOIN_SECONDS / 4)
            leader = self._relay.core.leader
            if leader is not None and not leader.members.following:
                await self._look(leader)

    async def replace(self, follower: str, other: str) -> str:
        """Replaces this follower, by `other` if that is not "": the name of the one that came; "" if it was no member.

        Returns once the newcomer holds everything and the members are changed. Raises `NotAllowed` if `other` is a
        member, `Unreachable` if there is nobody, or if it takes long: then it goes on by itself, or not.
        """
        before = self._names()
        if follower not in before:
            return ""
        if other in before:
            raise NotAllowed(f"{other} in the place of {follower}", f"{other} is a member already.")
        self._wanted[follower], self.problem = other, ""
        try:
            async with asyncio.timeout(limits.REPLACING_SECONDS):
                while follower in self._names():
                    if self.problem:
                        raise Unreachable(f"a follower in the place of {follower}", self.problem)
                    await asyncio.sleep(limits.REJOIN_SECONDS / 20)
        except TimeoutError:
            raise Unreachable(
                f"the follower in the place of {follower}", "it has not caught up yet"
            ) from None
        finally:
            self._wanted.pop(follower, None)
        return next(iter(self._names() - before), "")

    def _names(self) -> set[str]:
        leader = self._relay.core.leader
        if leader is None:
            raise NotPrimary(self._relay.core.name, self._relay.core.epoch)
        return {one.follower for one in leader.members.everyone}

    async def _look(self, leader: Leader) -> None:
        try:
            if self._noted != leader.members:
                members = leader.members
                await self._registrar.note_members(leader.database, members)
                self._noted = members
            gone = self._gone(leader)
            self.problem = await self._replace(leader, gone) if gone else ""
        except Error as error:
            self.problem = str(error)

    def _gone(self, leader: Leader) -> Member | None:
        """Whom to replace: whoever somebody wants replaced, else the one that has been silent for longest."""
        current, now = leader.members.current, boottime()
        wanted = [one for one in current if one.follower in self._wanted]
        if wanted or not leader.voters.has_quorum(now):
            return wanted[0] if wanted else None

        def silence(member: Member) -> float:
            return now - leader.peers[peer_of(member)].heard_at

        longest = max(current, key=silence)
        return longest if silence(longest) >= limits.FOLLOWER_GONE_SECONDS else None

    async def _replace(self, leader: Leader, gone: Member) -> str:
        """Begins, or goes on waiting for a newcomer that answers; why that cannot be, "" if it can."""
        chosen = self._newcomers.get(gone)
        peer: Peer | None = leader.peers.get(peer_of(chosen)) if chosen else None
        if peer is not None and peer.answers(boottime()):
            return ""
        name = self._wanted.get(gone.follower) or await self._choose(leader, gone)
        if not name:
            return f"{gone.follower} is gone, and there is no other follower to take its place: add a node"
        try:
            reply = await self._ask(name, m.Join(leader.database))
        except Error:
            self._passed_over.add(name)
            raise
        if isinstance(reply, m.Joined):
            self._newcomers[gone] = Member(name, reply.incarnation)
            self._relay.replace_member(gone, self._newcomers[gone])
        return ""

    async def _choose(self, leader: Leader, gone: Member) -> str:
        stay = [one.follower for one in leader.members.current if one != gone]
        found = await self._registrar.substitute(leader.database, stay, (gone.follower, *self._passed_over))
        if not found:
            self._passed_over.clear()
        return found
