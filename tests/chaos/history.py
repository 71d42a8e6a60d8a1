"""What clients asked and were told during a campaign, and whether one order of transactions explains all of it.

Each client writes rows (client, 1), (client, 2) ... one at a time, without a unique key; a read takes the newest number
and the count of every client's rows in one snapshot.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec


class Outcome(enum.StrEnum):
    """DONE: acknowledged; FAILED: certainly not applied; UNKNOWN: nobody can say."""

    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Operation(msgspec.Struct, frozen=True):
    """One query of one session.

    n: of a write, else 0; seen: of a read, (newest n, rows) of each client that it saw; start, end: seconds on one
    clock; primary: answered by the primary outside any session, so it must be up to date; before: the bookmark that
    it was asked with; bookmark: of an entry that covers all that it saw or wrote. "" where they are not known.
    """

    session: str
    client: int
    n: int
    outcome: Outcome
    start: float
    end: float
    before: str = ""
    bookmark: str = ""
    seen: Mapping[int, tuple[int, int]] = {}
    primary: bool = False

    @property
    def is_write(self) -> bool:
        """Whether it is one."""
        return self.n > 0


def violations(operations: Sequence[Operation], rows: Sequence[tuple[int, int]]) -> list[str]:
    """What is wrong, in words. operations: by start within each session; rows: of the table in the end."""
    done = [one for one in operations if one.outcome is Outcome.DONE]
    return [
        *_lost_or_doubled(operations, rows),
        *_taken_back(done, rows),
        *_made_up(operations),
        *_no_order(done),
        *_behind(done),
        *_going_back(done),
        *_stale(done),
    ]


def _lost_or_doubled(operations: Sequence[Operation], rows: Sequence[tuple[int, int]]) -> Iterator[str]:
    there = Counter(rows)
    for row, count in there.items():
        if count > 1:
            yield f"row {row} is there {count} times"
    outcomes = {(one.client, one.n): one.outcome for one in operations if one.is_write}
    for row, outcome in outcomes.items():
        if outcome is Outcome.DONE and row not in there:
            yield f"row {row} was acknowledged and is lost"
        if outcome is Outcome.FAILED and row in there:
            yield f"row {row} was refused and is there"
    for row in there:
        if row not in outcomes:
            yield f"row {row} was never written"


def _taken_back(done: Sequence[Operation], rows: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Whatever was shown stays, also a write of which its own client does not know."""
    counts = Counter(client for client, _ in rows)
    last = {client: (max(n for who, n in rows if who == client), count) for client, count in counts.items()}
    for one in done:
        if client := _lacks(last, one.seen):
            yield f"{one.session} saw more of client {client} than is there in the end"


def _made_up(operations: Sequence[Operation]) -> Iterator[str]:
    """A read shows only what was asked for before it ended, and each row at most once."""
    writes: dict[int, list[Operation]] = {}  # of each client in order, as it has one under way at a time
    for one in sorted(operations, key=lambda one: one.n):
        if one.is_write and one.outcome is not Outcome.FAILED:
            writes.setdefault(one.client, []).append(one)
    for read in operations:
        for client, (newest, rows) in read.seen.items():
            asked = writes.get(client, [])
            count = bisect_right(asked, newest, key=lambda one: one.n)
            if not count or asked[count - 1].n != newest or asked[count - 1].start > read.end:
                yield f"{read.session} saw write {newest} of client {client}, which nobody had asked for"
            elif rows > count:
                yield f"{read.session} saw {rows} rows of client {client}, who had asked for {count}"


def _no_order(done: Sequence[Operation]) -> Iterator[str]:
    """All that was read is one state after the other, each with at least what the one before had."""
    reads = [one for one in done if not one.is_write]
    former: Operation | None = None
    for one in sorted(reads, key=lambda one: (_rows(one.seen), sorted(one.seen.items()))):
        if former is not None and (client := _lacks(one.seen, former.seen)):
            yield f"{one.session} saw more than {former.session} in all, and less of client {client}"
        former = one


def _behind(done: Sequence[Operation]) -> Iterator[str]:
    """Whoever asks with a bookmark sees at least what others had seen, or written, that have it or a lower one."""
    told = iter(sorted((one for one in done if one.bookmark), key=lambda one: one.bookmark))
    following = next(told, None)
    known: dict[int, tuple[int, int]] = {}
    for read in sorted((one for one in done if one.before and not one.is_write), key=lambda one: one.before):
        while following is not None and following.bookmark <= read.before:
            _learn(known, following)
            following = next(told, None)
        if client := _lacks(read.seen, known):
            yield f"{read.session} asked with {read.before} and saw less of client {client} than was there by then"


def _learn(known: dict[int, tuple[int, int]], one: Operation) -> None:
    """Adds what this operation wrote or saw."""
    seen = {one.client: (one.n, 0)} if one.is_write else one.seen
    for client, (newest, rows) in seen.items():
        before = known.get(client, (0, 0))
        known[client] = max(newest, before[0]), max(rows, before[1])


def _rows(seen: Mapping[int, tuple[int, int]]) -> int:
    return sum(rows for _, rows in seen.values())


def _lacks(seen: Mapping[int, tuple[int, int]], known: Mapping[int, tuple[int, int]]) -> int:
    """A client of which `seen` has less than `known`; 0 if there is none."""
    for client, (newest, rows) in known.items():
        found = seen.get(client, (0, 0))
        if found[0] < newest or found[1] < rows:
            return client
    return 0


def _going_back(done: Sequence[Operation]) -> Iterator[str]:
    """A session's bookmarks never fall, and its reads see its own writes."""
    bookmark: dict[str, str] = {}
    wrote: dict[str, tuple[int, int]] = {}
    for one in done:
        if one.bookmark < bookmark.get(one.session, ""):
            yield f"{one.session} went back from {bookmark[one.session]} to {one.bookmark}"
        bookmark[one.session] = max(one.bookmark, bookmark.get(one.session, ""))
        if one.is_write:
            wrote[one.session] = one.client, one.n
        elif one.session in wrote:
            client, n = wrote[one.session]
            if one.seen.get(client, (0, 0))[0] < n:
                yield f"{one.session} does not see its own write {n}"


def _stale(done: Sequence[Operation]) -> Iterator[str]:
    """What the primary answers outside a session has all that anybody was told before it was asked."""
    reads = sorted((one for one in done if one.primary and not one.is_write), key=lambda one: one.start)
    known: dict[int, tuple[int, int]] = {}
    told = iter(sorted(done, key=lambda one: one.end))
    following = next(told, None)
    for read in reads:
        while following is not None and following.end < read.start:
            _learn(known, following)
            following = next(told, None)
        if client := _lacks(read.seen, known):
            newest = known[client][0]
            yield f"{read.session} asked the primary after write {newest} of client {client} was told, and missed it"
