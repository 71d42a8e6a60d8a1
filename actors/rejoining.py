"""Followers that have lost a database, with their disk or to damage, join it anew, one after the other.

A follower that knows its incarnation no more has no vote and never gets that one back. It joins as another one, with an
empty log, and counts once that holds all that is confirmed and the members are changed (docs/architecture.md,
Members). With too many lost there is no quorum to change the members, and nothing happens.
"""

from __future__ import annotations

import asyncio

from raylite.actors.core import messages as m
from raylite.actors.core.leader import Leader
from raylite.actors.core.peer import peer_of
from raylite.actors.relay import Relay
from raylite.actors.service import boottime
from raylite.policies import limits
from raylite.policies.errors import Error
from raylite.policies.quorum import Member


class Rejoining:
    """That of one reign. It runs until it is cancelled."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._since: dict[Member, float] = {}

    async def run(self) -> None:
        """Looks again and again."""
        while True:
            await asyncio.sleep(limits.REJOIN_SECONDS / 4)
            leader = self._relay.core.leader
            if leader is not None and not leader.members.following:
                lost = self._lost(leader)
                if lost is not None:
                    await self._replace(leader, lost)

    def _lost(self, leader: Leader) -> Member | None:
        """The member that has refused for longest, if that is long enough: it may just be starting."""
        now = boottime()
        refusing = [one for one in leader.members.current if leader.peers[peer_of(one)].refuses]
        self._since = {one: self._since.get(one, now) for one in refusing}
        longest = min(self._since, key=self._since.__getitem__, default=None)
        return longest if longest and now - self._since[longest] >= limits.REJOIN_SECONDS else None

    async def _replace(self, leader: Leader, lost: Member) -> None:
        try:
            reply = await self._relay.ask(lost, m.Join(leader.database))
        except Error:
            return
        if isinstance(reply, m.Joined):
            self._relay.replace_member(lost, Member(lost.follower, reply.incarnation))
