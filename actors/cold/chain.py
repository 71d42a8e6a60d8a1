"""Which segments continue each other from a place on, told by digests.

Two primaries in a row may both have uploaded a stretch, cut at different places. What they uploaded was confirmed, so
it is one log; yet a name may lie, or belong to entries that a rebuild has given up. So a chain goes only from a place
to a segment that has this very place, at its beginning or inside, and where there are several ways the one counts
that ends at the highest epoch and sequence.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from itertools import accumulate

import msgspec

from raylite.actors.cold.names import Reach, SegmentName
from raylite.actors.cold.segment import Contents
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Corrupt

Look = Callable[[SegmentName], Contents]


class Step(msgspec.Struct, frozen=True):
    """The pieces of a segment behind `after` up to `last`; both are places in it."""

    segment: SegmentName
    after: Bookmark
    last: Bookmark


class Chain(msgspec.Struct, frozen=True):
    """Steps, each from where the one before ends; the first begins at `start`. reach: of its end."""

    start: Bookmark
    steps: tuple[Step, ...]
    reach: Reach

    @property
    def end(self) -> Bookmark:
        """Where it leads."""
        return self.steps[-1].last if self.steps else self.start


class Segments:
    """Segments of one database's log, to be followed. look: the contents of one, read when names do not tell.

    A segment that `look` finds damaged leads nowhere; `damaged` names it and says why.
    """

    def __init__(self, names: Iterable[SegmentName], look: Look) -> None:
        self._look = look
        self.damaged: dict[SegmentName, str] = {}
        self._names = sorted(names, key=lambda one: (one.after.epoch, one.after.sequence, one.reach))
        self._starts = [(one.after.epoch, one.after.sequence) for one in self._names]
        self._farthest = list(accumulate((one.reach[:2] for one in self._names), max))
        self.reach = max((one.reach for one in self._names), default=(0, 0, False))

    def follow(self, start: Bookmark) -> Chain:
        """The chain from `start`, a whole entry, that reaches farthest."""
        return self._search(start, None)[0]

    def lead(self, start: Bookmark, goal: Bookmark) -> Chain | None:
        """The chain from `start` that ends at the whole entry `goal`; None if there is none."""
        if start.digest == goal.digest:
            return Chain(start, (), (goal.epoch, goal.sequence, True))
        if (start.epoch, start.sequence) >= (goal.epoch, goal.sequence):
            return None
        chain, found = self._search(start, goal)
        return chain if found else None

    def _search(self, start: Bookmark, goal: Bookmark | None) -> tuple[Chain, bool]:
        """Depth first. A place is looked at once: whatever way leads there, the log up to there is the same."""
        came: dict[bytes, Step | None] = {start.digest: None}
        best, reach = start, (start.epoch, start.sequence, True)
        waiting = [start]
        while waiting:
            for step, end in self._steps(waiting.pop(), goal):
                if step.last.digest in came:
                    continue
                came[step.last.digest] = step
                if goal is not None and step.last.digest == goal.digest:
                    return _walked(start, step.last, came, end), True
                waiting.append(step.last)
                if end >= reach:
                    best, reach = step.last, end
        return _walked(start, best, came, reach), False

    def _steps(self, place: Bookmark, goal: Bookmark | None) -> list[tuple[Step, Reach]]:
        """The steps from `place`, none beyond the goal, the farthest last."""
        limit = (goal.epoch, goal.sequence, True) if goal else None
        found: list[tuple[Step, Reach]] = []
        for name in self._around(place):
            if name.last.digest == place.digest or not self._has(name, place):
                continue
            stops = [(name.last, name.reach), *self._inside(name, place)]
            if goal and limit and name.reach >= limit and self._has(name, goal):
                stops.append((goal, limit))
            found += [(Step(name, place, one), end) for one, end in stops if not limit or end <= limit]
        return sorted(found, key=lambda one: one[1])

    def _around(self, place: Bookmark) -> Iterable[SegmentName]:
        """Segments that begin at or before `place` and end at or beyond it. Where none overlap that is one or two."""
        here = (place.epoch, place.sequence)
        at = bisect_right(self._starts, here) - 1
        while at >= 0 and self._farthest[at] >= here:
            if self._names[at].reach[:2] >= here:
                yield self._names[at]
            at -= 1

    def _inside(self, name: SegmentName, place: Bookmark) -> Iterable[tuple[Bookmark, Reach]]:
        """Places inside a segment, behind `place`, that other segments begin at. Where none overlap there are none."""
        first = bisect_left(self._starts, (place.epoch, place.sequence))
        end = bisect_right(self._starts, name.reach[:2])
        starts = {one.after.digest: one.after for one in self._names[first:end]}
        for digest in (place.digest, name.after.digest, name.last.digest):
            starts.pop(digest, None)
        if not starts or not self._has(name, place, look=True):
            return
        contents = self._look(name)
        for entry in contents.entries[contents.index(place) :]:
            if entry.place.digest in starts:
                yield entry.place, (entry.place.epoch, entry.place.sequence, entry.last)

    def _has(self, name: SegmentName, place: Bookmark, *, look: bool = False) -> bool:
        if not look and place.digest in (name.after.digest, name.last.digest):
            return True
        try:
            return self._look(name).index(place) is not None
        except Corrupt as error:
            self.damaged[name] = str(error)
            return False


def _walked(start: Bookmark, end: Bookmark, came: dict[bytes, Step | None], reach: Reach) -> Chain:
    steps: list[Step] = []
    step = came[end.digest]
    while step is not None:
        steps.append(step)
        step = came[step.after.digest]
    return Chain(start, tuple(reversed(steps)), reach)
