"""Changing the members, one change at a time, by entries of the log itself.

First both sets count, then the new one alone. Members count from when they are written; the next step waits until
they are confirmed.
"""

from __future__ import annotations

import msgspec

from raylite.actors.core.confirmation import Confirmation
from raylite.actors.core.voters import Voters
from raylite.policies.quorum import Member, Members


class Propose(msgspec.Struct, frozen=True):
    """Make an entry of kind MEMBERS and give it to `Leader.propose`."""

    members: Members


class Membership:
    """Where a change is: it waits for newcomers (`_target`), for its entry (`_proposed`), or for a quorum.

    `_written`: the ordinal that the newest members' entry ends at, 0 once it is confirmed; `_begins`: nothing is
    confirmed yet, so what was adopted may be held by a follower alone that is no member.
    """

    def __init__(self, voters: Voters, confirmation: Confirmation) -> None:
        self._voters, self._confirmation = voters, confirmation
        self._target: tuple[Member, ...] = ()
        self._proposed: Members | None = None
        self._written = 0
        self._begins = True

    def change(self, following: tuple[Member, ...], now: float) -> list[Propose]:
        """Begin to replace the members by `following`; newcomers must hold everything confirmed first.

        Nothing happens while a change is in the log; one that still waits for its newcomers is given up for this one.
        """
        under_way = self._voters.members.following or self._proposed is not None
        if under_way or not self._confirmation.reigns:
            return []
        self._target = following
        self._voters.drop_former(following)
        self._voters.add(following, now)
        return self.newcomers_heard()

    def newcomers_heard(self) -> list[Propose]:
        """Who waits for newcomers goes on once all of them hold what is confirmed."""
        if not self._target or self._proposed is not None or not self._are_ready():
            return []
        target, self._target = self._target, ()
        return self._propose(Members(self._voters.members.current, target))

    def written(self, members: Members, ordinal: int, now: float) -> None:
        """The entry of these members is in the window and ends at `ordinal`."""
        self._proposed, self._written = None, ordinal
        self._voters.use(members, now)

    def confirmed(self) -> list[Propose]:
        """More of the log is confirmed."""
        following = self._voters.members.following
        if self._written > self._confirmation.ordinal:
            return []
        if not (self._written or self._target or following or self._begins):
            return []
        self._written, self._begins = 0, False
        if following:
            return self._propose(Members(following)) if self._proposed is None else []
        self._voters.drop_former(self._target)
        return self.newcomers_heard()

    def _are_ready(self) -> bool:
        current = self._voters.members.current
        newcomers = [member for member in self._target if member not in current]
        confirmed = self._confirmation.ordinal
        return self._target != current and all(self._voters.acked(one) >= confirmed for one in newcomers)

    def _propose(self, members: Members) -> list[Propose]:
        self._proposed = members
        return [Propose(members)]
