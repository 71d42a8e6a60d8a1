"""Chains of segments, against a search that tries everything."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cold_world import DATABASE

from raylite.actors.cold.chain import Chain, Segments
from raylite.actors.cold.names import SegmentName
from raylite.actors.cold.segment import Contents, Entry
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import Corrupt

ORIGIN = origin(DATABASE)


class Place(msgspec.Struct, frozen=True):
    """A place of a log and whether its entry is whole there."""

    bookmark: Bookmark
    whole: bool


Line = list[Place]
Pool = dict[SegmentName, Contents]


def line(start: Bookmark, shape: list[tuple[int, bool]], salt: int) -> Line:
    """A log behind `start`: for each piece how much the epoch grows, and whether the entry ends there."""
    epoch, sequence, whole = start.epoch, start.sequence, True
    found: Line = [Place(start, True)]
    for number, (more, ends) in enumerate(shape, 1):
        if whole:
            epoch, sequence = epoch + more, sequence + 1
        whole = ends
        digest = bytes([salt]) + number.to_bytes(11, "big")
        found.append(Place(Bookmark(epoch, sequence, start.history, digest), whole))
    return found


def segment(log: Line, first: int, end: int) -> tuple[SegmentName, Contents]:
    entries = tuple(
        Entry(one.bookmark, 0, one.whole, number, 0, 0, 0, 0, 1)
        for number, one in enumerate(log[first + 1 : end + 1], first + 1)
    )
    contents = Contents(DATABASE, log[first].bookmark, entries, ())
    return contents.name, contents


shapes = st.lists(st.tuples(st.sampled_from([0, 0, 0, 1]), st.sampled_from([True, True, False])), max_size=12)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Pool, list[Line]]:
    """Segments, cut anywhere, of a log, and perhaps of another that parts from it: entries that were given up."""
    trunk = line(ORIGIN, draw(shapes), 1)
    lines = [trunk]
    if draw(st.booleans()):
        at = draw(st.sampled_from([n for n, one in enumerate(trunk) if one.whole]))
        branch = line(trunk[at].bookmark, [(draw(st.integers(1, 3)), True), *draw(shapes)], 2)
        lines.append([*trunk[:at], *branch])
    pool: Pool = {}
    for _ in range(draw(st.integers(0, 10))):
        log = draw(st.sampled_from(lines))
        if len(log) > 1:
            first = draw(st.integers(0, len(log) - 2))
            name, contents = segment(log, first, draw(st.integers(first + 1, len(log) - 1)))
            pool[name] = contents
    return pool, lines


def reachable(pool: Pool, start: Bookmark) -> dict[bytes, Place]:
    """All places that some way leads to, found by trying until nothing is new."""
    found = {start.digest: Place(start, True)}
    while True:
        before = len(found)
        for contents in pool.values():
            known = contents.after.digest in found
            for entry in contents.entries:
                known = known or entry.place.digest in found
                if known:
                    found[entry.place.digest] = Place(entry.place, entry.last)
        if len(found) == before:
            return found


def check(chain: Chain, pool: Pool) -> None:
    """Each step goes on where the one before it ended, inside its own segment."""
    place = chain.start
    for step in chain.steps:
        assert step.after == place
        first, end = pool[step.segment].index(step.after), pool[step.segment].index(step.last)
        assert first is not None
        assert end is not None
        assert first < end
        place = step.last
    assert chain.end == place


@given(worlds())
def test_a_chain_reaches_as_far_as_any_way_does(world: tuple[Pool, list[Line]]) -> None:
    pool, lines = world
    for start in (one.bookmark for log in lines for one in log if one.whole):
        chain = Segments(pool, pool.__getitem__).follow(start)
        check(chain, pool)
        ends = [
            (one.bookmark.epoch, one.bookmark.sequence, one.whole) for one in reachable(pool, start).values()
        ]
        assert chain.reach == max(ends)
        assert (chain.end.epoch, chain.end.sequence) == chain.reach[:2]


@given(worlds())
def test_a_chain_leads_to_an_entry_exactly_if_there_is_a_way(world: tuple[Pool, list[Line]]) -> None:
    pool, lines = world
    wholes = {one.bookmark.digest: one.bookmark for log in lines for one in log if one.whole}
    for start in wholes.values():
        ways = reachable(pool, start)
        for goal in wholes.values():
            chain = Segments(pool, pool.__getitem__).lead(start, goal)
            assert (chain is not None) == (goal.digest in ways)
            if chain is not None:
                check(chain, pool)
                assert chain.end == goal


def test_segments_that_are_cut_without_overlap_are_not_looked_into() -> None:
    log = line(ORIGIN, [(0, True)] * 3000, 1)
    pool = dict(segment(log, at, at + 3) for at in range(0, 3000, 3))

    def look(_name: SegmentName) -> Contents:
        raise AssertionError

    segments = Segments(pool, look)
    assert len(segments.follow(log[0].bookmark).steps) == 1000
    chain = segments.lead(log[0].bookmark, log[1500].bookmark)
    assert chain is not None
    assert len(chain.steps) == 500


def test_a_segment_that_cannot_be_read_is_left_by_its_end_alone_and_is_named() -> None:
    log = line(ORIGIN, [(0, True)] * 6, 1)
    pool = dict([segment(log, 0, 3), segment(log, 2, 6)])

    def look(name: SegmentName) -> Contents:
        raise Corrupt("cold storage", str(name), "flipped")

    segments = Segments(pool, look)
    assert segments.follow(ORIGIN).end == log[3].bookmark
    assert segments.damaged.keys() == pool.keys()


def test_entries_that_were_given_up_lose_against_a_later_epoch_of_lower_sequence() -> None:
    lost = line(ORIGIN, [(1, True)] + [(0, True)] * 9, 1)
    kept = [*lost[:3], *line(lost[2].bookmark, [(65_536, True), (0, True)], 2)[1:]]
    pool = dict([segment(lost, 0, 10), segment(kept, 2, 4)])
    assert Segments(pool, pool.__getitem__).follow(ORIGIN).end == kept[4].bookmark
