"""How followers become the members of a new database: they join it, and its log is founded on them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from raylite.actors.cold.fork import fork_base
from raylite.actors.cold.rebuild import rebuilt_base
from raylite.actors.core import messages as m
from raylite.actors.core.base import Base
from raylite.actors.follower_calls import FollowerCalls
from raylite.actors.surveyor import Surveyor
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import Unreachable
from raylite.policies.placement import choose_followers
from raylite.policies.quorum import Member, Members, is_quorum
from raylite.policies.regions import Regions


class Enlistment:
    """Both steps can be repeated: a follower that joined or founded once answers the same again."""

    def __init__(self, followers: FollowerCalls, surveyor: Surveyor, regions: Regions) -> None:
        self._followers, self._surveyor, self._regions = followers, surveyor, regions

    async def join(self, entry: DatabaseEntry) -> Members:
        """Five followers that have all joined; who does not answer is passed over while there are enough others.

        Raises `Unreachable` if there are not.
        """
        present = await self._surveyor.present()
        silent: set[str] = set()
        while True:
            left = [site for site in present if site.follower not in silent]
            chosen = choose_followers(entry.database_id, left, entry.region, self._regions)
            members = await self._joined(entry.database_id, chosen)
            if len(members) == limits.FOLLOWERS:
                return Members(tuple(members))
            silent |= set(chosen) - {one.follower for one in members}
            if len(present) - len(silent) < limits.FOLLOWERS:
                found = f"{len(present) - len(silent)} of {limits.FOLLOWERS} answer"
                raise Unreachable("a new database's followers", found)

    async def _joined(self, database_id: str, chosen: Sequence[str]) -> list[Member]:
        asked = (self._followers.enlist(one, m.Join(database_id)) for one in chosen)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        joined = zip(chosen, answers, strict=True)
        return [Member(one, answer.incarnation) for one, answer in joined if isinstance(answer, m.Joined)]

    async def substitute(
        self, database_id: str, near: str, beside: Sequence[str], without: Sequence[str]
    ) -> str:
        """See `Registrar.substitute`. near: a region."""
        present = await self._surveyor.present()
        stay = [site for site in present if site.follower in beside]
        left = [site for site in present if site.follower not in {*beside, *without}]
        chosen = choose_followers(database_id, left, near, self._regions, 1, stay)
        return chosen[0] if chosen else ""

    async def found(self, entry: DatabaseEntry) -> None:
        """A quorum of the members has the log's base from here on; raises `Unreachable`."""
        assert entry.members is not None, "members are written before the log is founded"
        everyone, base = entry.members.current, base_of(entry, entry.members)
        requests = [
            self._followers.enlist(
                one.follower, m.Found(entry.database_id, one.incarnation, entry.members, base)
            )
            for one in everyone
        ]
        answers = await asyncio.gather(*requests, return_exceptions=True)
        founded = [
            one for one, answer in zip(everyone, answers, strict=True) if isinstance(answer, m.Founded)
        ]
        if not is_quorum(entry.members, founded):
            raise Unreachable(f"{entry.name}'s followers", f"{len(founded)} of {len(everyone)} answer")


def base_of(entry: DatabaseEntry, members: Members) -> Base | None:
    """Where the log of a fork begins, or of what was rebuilt: cold storage has what is before that."""
    if entry.rebuilt is not None:
        return rebuilt_base(entry.rebuilt, members)
    if entry.fork is None:
        return None
    place = fork_base(entry.database_id, Bookmark.parse(entry.fork.bookmark))
    return Base(place, members, (), entry.fork.time_us)
