"""Members of a database's relay, and what counts as a quorum of them.

While a change of membership is under way there are two sets, and a quorum needs a majority of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec


class Member(msgspec.Struct, frozen=True, order=True, array_like=True):
    """A follower in one database: its actor's name, and the incarnation that it made when it joined."""

    follower: str
    incarnation: str


class Members(msgspec.Struct, frozen=True, array_like=True):
    """The set that counts, or the old set and the next one while a change is under way."""

    current: tuple[Member, ...]
    following: tuple[Member, ...] = ()

    @property
    def sets(self) -> tuple[tuple[Member, ...], ...]:
        """Every set of which a majority is needed."""
        return (self.current, self.following) if self.following else (self.current,)

    @property
    def everyone(self) -> tuple[Member, ...]:
        """All members of all sets, each once, in order."""
        return tuple(dict.fromkeys((*self.current, *self.following)))


def majority(size: int) -> int:
    """The smallest number that is more than half of `size`."""
    return size // 2 + 1


def is_quorum(members: Members, agreeing: Iterable[Member]) -> bool:
    """Whether `agreeing` holds a majority of every set."""
    chosen = set(agreeing)
    return all(len(chosen.intersection(part)) >= majority(len(part)) for part in members.sets)


def may_agree(members: Members, without: Iterable[Member]) -> bool:
    """Whether the others, all but `without`, could be a quorum."""
    out = set(without)
    return is_quorum(members, [one for one in members.everyone if one not in out])


def agreed(members: Members, value: Callable[[Member], float]) -> float:
    """The highest value that a quorum has reached: of every set the majority-th highest, the lowest of these."""
    return min(sorted(map(value, part), reverse=True)[majority(len(part)) - 1] for part in members.sets)
