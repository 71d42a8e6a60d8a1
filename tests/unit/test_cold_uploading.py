"""When uploads happen, what stops them, and that what is said to be held is held."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit import virtual_loop
from tests.unit.cold_world import DATABASE, Log, MemoryStore, restored

from raylite.actors.cold.archive import Archive
from raylite.actors.cold.uploader import Uploader
from raylite.actors.cold.uploading import Cut, Look, Uploading
from raylite.actors.core.piece import describe_all
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import Corrupt, Error, Overloaded, StorageFull, Unreachable
from raylite.policies.limits import (
    COLD_LONGEST_RETRY_SECONDS,
    COLD_RETRY_SECONDS,
    COLD_SEGMENT_BYTES,
    COLD_SEGMENT_SECONDS,
    COLD_WAITING_BYTES,
)

T = TypeVar("T")
START = origin(DATABASE)


def place(sequence: int) -> Bookmark:
    return Bookmark(1, sequence, START.history, sequence.to_bytes(12, "big"))


def looked() -> Uploading:
    """Uploads of a database of which nothing waits."""
    core = Uploading()
    assert core.begin(0.0) == Look()
    core.found(place(5), 0, 0.0)
    return core


# The rules


def test_first_it_finds_out_what_is_held() -> None:
    core = Uploading()
    core.confirmed(10, 0.0)
    assert core.begin(0.0) == Look()
    assert core.begin(100.0) is None, "one attempt at a time"
    core.found(place(5), 10, 0.0)
    assert core.held == place(5)


def test_little_waits_for_its_time_and_much_for_nothing() -> None:
    core = looked()
    assert core.next_at() is None
    core.confirmed(10, 3.0)
    core.confirmed(10, 9.0)
    assert core.begin(2.9 + COLD_SEGMENT_SECONDS) is None
    assert core.begin(3.0 + COLD_SEGMENT_SECONDS) == Cut(place(5), COLD_SEGMENT_BYTES)
    core.uploaded(place(7), place(7), 20, drained=True)
    core.confirmed(COLD_SEGMENT_BYTES, 20.0)
    assert core.begin(20.0) == Cut(place(7), COLD_SEGMENT_BYTES)


def test_what_comes_during_an_upload_waits_from_then_on() -> None:
    core = looked()
    core.confirmed(10, 0.0)
    core.begin(10.0)
    core.confirmed(30, 12.0)
    core.uploaded(place(6), place(6), 10, drained=True)
    assert core.state(13.0).waiting_bytes == 30
    assert core.state(13.0).waiting_seconds == 1.0
    assert core.next_at() == 12.0 + COLD_SEGMENT_SECONDS


def test_what_an_upload_did_not_take_is_due_at_once() -> None:
    core = looked()
    core.confirmed(COLD_SEGMENT_BYTES + 10, 0.0)
    core.begin(20.0)
    core.uploaded(place(6), None, COLD_SEGMENT_BYTES, drained=False)
    assert core.held == place(5), "no entry is whole yet"
    assert core.begin(20.0) == Cut(place(6), COLD_SEGMENT_BYTES)
    assert core.state(20.0).waiting_bytes == 10


def test_a_miscount_is_mended_when_nothing_more_is_there() -> None:
    core = looked()
    core.confirmed(1000, 0.0)
    core.begin(10.0)
    core.uploaded(place(6), place(6), 100, drained=True)
    assert core.state(10.0).waiting_bytes == 0
    assert core.next_at() is None


def test_a_failure_is_tried_again_after_waits_that_grow_to_a_bound_and_said() -> None:
    core = looked()
    core.confirmed(10, 0.0)
    now, waits = 10.0, list[float]()
    for number in range(12):
        assert core.begin(now) is not None
        core.failed("the disk is on fire", now, 1.0)
        assert core.state(now).problem == "the disk is on fire"
        at = core.next_at()
        assert at is not None
        waits.append(at - now)
        now = at
        if number % 2:
            assert core.begin(now) == Look(), "the failed attempt may have left something"
            core.found(place(5), 10, now)
    assert waits[:4] == [COLD_RETRY_SECONDS * 2**n for n in range(4)]
    assert waits[-1] == COLD_LONGEST_RETRY_SECONDS
    assert core.begin(now) == Cut(place(5), COLD_SEGMENT_BYTES)
    assert core.state(now).problem == "the disk is on fire", "it answers, but it has taken nothing yet"
    core.uploaded(place(6), place(6), 10, drained=True)
    assert core.state(now).problem == ""


def test_a_store_that_fails_stops_writes_only_above_the_bound() -> None:
    core = looked()
    core.confirmed(COLD_WAITING_BYTES, 0.0)
    core.begin(0.0)
    core.failed("no route", 0.0, 0.0)
    core.admit()
    core.confirmed(1, 1.0)
    with pytest.raises(Overloaded, match="no route"):
        core.admit()
    core.begin(100.0)
    core.found(place(9), 0, 100.0)
    core.begin(100.0)
    core.uploaded(place(10), place(10), 2, drained=True)
    core.admit()


def test_in_a_hurry_little_is_uploaded_at_once_and_then_no_more() -> None:
    core = looked()
    core.confirmed(1, 0.0)
    core.hurry(place(6))
    assert core.begin(0.0) is not None
    core.confirmed(1, 0.0)
    core.uploaded(place(6), place(6), 1, drained=True)
    assert core.next_at() == COLD_SEGMENT_SECONDS
    core.hurry(place(6))
    assert core.next_at() == COLD_SEGMENT_SECONDS, "that is held already"


@given(st.lists(st.tuples(st.sampled_from(["write", "time", "end", "fail"]), st.integers(1, 40 << 20))))
def test_nothing_waits_much_longer_than_it_may_while_the_store_works(steps: list[tuple[str, int]]) -> None:
    """Against a log of (time, size) of what is not uploaded; each attempt takes all there is, up to the limit."""
    core = Uploading()
    log: list[tuple[float, int]] = []
    now, sequence, took = 0.0, 0, 0
    for what, number in steps:
        match what:
            case "write":
                log.append((now, number))
                core.confirmed(number, now)
            case "time":
                now += number / (4 << 20)
            case _ if took:
                if what == "fail":
                    core.failed("failed", now, 0.5)
                else:
                    sequence += 1
                    done, log = log[:took], log[took:]
                    core.uploaded(place(sequence), place(sequence), sum(n for _, n in done), drained=True)
                took = 0
            case _:
                pass
        if not took and (todo := core.begin(now)):
            if isinstance(todo, Look):
                core.found(place(sequence), sum(n for _, n in log), now)
            else:
                took = len(log)
                if not log:
                    core.uploaded(todo.after, None, 0, drained=True)
        if not core.state(now).problem and not took:
            assert core.waiting_bytes == sum(n for _, n in log)
            at = core.next_at()
            assert (at is None) == (not log)
            assert at is None or at <= log[0][0] + COLD_SEGMENT_SECONDS


# The shell


class Ground:
    """Virtual time; blocking work is done on the spot."""

    def __init__(self) -> None:
        self._nonces = iter(range(1, 1 << 60))

    def now(self) -> float:
        return virtual_loop.now()

    def jitter(self) -> float:
        return 0.5

    def nonce(self) -> str:
        return f"{next(self._nonces):016x}"

    async def work(self, job: Callable[[], T]) -> T:
        await asyncio.sleep(0)
        return job()


class Confirmed:
    """A log of which the first `count` entries are confirmed."""

    def __init__(self, log: Log, most: int = 1 << 30) -> None:
        self.log, self.count, self._most = log, 0, most

    async def read(self, after: Bookmark, limit: int) -> list[bytes]:
        await asyncio.sleep(0)
        places, pieces = self._places()
        if after.digest not in places:
            raise Corrupt("a log", str(after), "it is not in this log")
        found: list[bytes] = []
        for one in pieces[places[after.digest] :]:
            if found and sum(map(len, found)) + len(one) > min(limit, self._most):
                break
            found.append(one)
        return found

    def waiting_bytes(self, after: Bookmark) -> int:
        places, pieces = self._places()
        return sum(map(len, pieces[places.get(after.digest, 0) :]))

    def _places(self) -> tuple[dict[bytes, int], list[bytes]]:
        pieces = self.log.pieces(0, self.count)
        places = {self.log.start.digest: 0}
        for number, one in enumerate(describe_all(self.log.start, pieces), 1):
            places[one.place.digest] = number
        return places, pieces


class World:
    """A primary's log, a store, and an uploader between them that runs."""

    def __init__(self, log: Log, store: MemoryStore | None = None, most: int = 1 << 30) -> None:
        self.log, self.store = log, store or MemoryStore()
        self.source = Confirmed(log, most)
        self.held: list[Bookmark] = []
        self.archive = Archive(self.store, DATABASE)
        self.uploader = Uploader(self.archive, self.source, Ground(), self.held.append)
        self.task = asyncio.ensure_future(self.uploader.run())

    def confirm(self, count: int) -> None:
        sizes = map(len, self.log.pieces(self.source.count, count))
        self.source.count = count
        self.uploader.confirmed(sum(sizes))

    async def wait(self, what: Callable[[], bool], seconds: float = 1000) -> None:
        async with asyncio.timeout(seconds):
            while not what():
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    with Log(tmp_path_factory.mktemp("log")) as made:
        made.begin()
        made.grow(20, 2000)
        made.fill(2_500_000)
        made.fill(100)
        yield made


def run(work: Callable[[], Coroutine[object, object, None]]) -> None:
    virtual_loop.run(work())


def test_a_new_database_s_entries_are_uploaded_within_their_time(log: Log, tmp_path: Path) -> None:
    async def work() -> None:
        world = World(log)
        await world.wait(lambda: world.held == [log.start])
        world.confirm(3)
        begun = virtual_loop.now()
        await world.wait(lambda: log.place(3) in world.held)
        assert COLD_SEGMENT_SECONDS <= virtual_loop.now() - begun < COLD_SEGMENT_SECONDS + 1
        assert len(world.archive.segments()) == 1
        await world.stop()
        assert restored(world.archive, log.place(3), tmp_path / "r") == log.entries[2].image

    run(work)


def test_what_is_said_to_be_held_only_grows_and_is_held(log: Log, tmp_path: Path) -> None:
    async def work() -> None:
        world = World(log, most=5000)
        for count in range(1, len(log.entries) + 1):
            world.confirm(count)
            await asyncio.sleep(4)
        await world.wait(lambda: world.held[-1] == log.end)
        await world.stop()
        assert world.held == sorted(world.held)
        for one in world.held:
            assert restored(world.archive, one, tmp_path / "r")

    run(work)


def test_a_flush_uploads_at_once_what_waits(log: Log) -> None:
    async def work() -> None:
        world = World(log)
        world.confirm(5)
        begun = virtual_loop.now()
        await world.uploader.flush(log.place(5), 100)
        assert virtual_loop.now() - begun < 1
        assert world.held[-1] == log.place(5)
        await world.uploader.flush(log.place(4), 100)
        await world.stop()

    run(work)


@pytest.mark.parametrize(
    ("error", "part"),
    [(StorageFull("cold storage", "no space left"), "no space"), (Unreachable("cold storage", "cut"), "cut")],
)
def test_while_the_store_fails_it_says_so_and_goes_on_once_it_works(
    log: Log, error: Error, part: str
) -> None:
    async def work() -> None:
        world = World(log)
        await world.wait(lambda: bool(world.held))
        puts: list[str] = []

        def fail(operation: str, name: str) -> Error | None:
            if operation == "put":
                puts.append(name)
            return error if operation == "put" else None

        world.store.fail = fail
        world.confirm(10)
        await world.wait(lambda: part in world.uploader.state().problem)
        with pytest.raises(Unreachable, match=part):
            await world.uploader.flush(log.place(10), 5)
        await asyncio.sleep(3600)
        assert 3600 / COLD_LONGEST_RETRY_SECONDS <= len(puts) < 150
        assert world.held[-1] == log.start
        assert world.uploader.state().waiting_seconds > 3600
        world.store.fail = lambda _operation, _name: None
        await world.wait(lambda: world.held[-1] == log.place(10), 2 * COLD_LONGEST_RETRY_SECONDS)
        state = world.uploader.state()
        assert (state.problem, state.waiting_bytes, state.held) == ("", 0, str(log.place(10)))
        await world.stop()

    run(work)


def test_a_store_that_fails_while_it_reads_back_holds_nothing_yet(log: Log) -> None:
    async def work() -> None:
        world = World(log)
        await world.wait(lambda: bool(world.held))
        lost = Unreachable("cold storage", "cut")
        world.store.fail = lambda operation, name: (
            lost if (operation, "/log/" in name) == ("read", True) else None
        )
        world.confirm(10)
        await asyncio.sleep(300)
        assert len(world.archive.segments()) == 1
        assert world.held[-1] == log.start
        world.store.fail = lambda _operation, _name: None
        await world.wait(lambda: world.held[-1] == log.place(10))
        assert len(world.archive.segments()) == 1, "it was found, not uploaded again"
        await world.stop()

    run(work)


def test_a_successor_goes_on_where_the_archive_ends(log: Log, tmp_path: Path) -> None:
    async def work() -> None:
        first = World(log)
        first.confirm(7)
        await first.uploader.flush(log.place(7), 100)
        await first.stop()
        second = World(log, first.store)
        second.confirm(20)
        await second.wait(lambda: bool(second.held))
        assert second.held == [log.place(7)]
        await second.uploader.flush(log.place(20), 100)
        await second.stop()
        assert len(second.archive.segments()) == 2
        assert restored(second.archive, log.place(20), tmp_path / "r") == log.entries[19].image

    run(work)


def test_two_primaries_at_once_do_not_harm_each_other(log: Log, tmp_path: Path) -> None:
    async def work() -> None:
        store = MemoryStore()
        old, new = World(log, store), World(log, store, most=3000)
        for count in range(1, 15):
            old.confirm(count)
            await asyncio.sleep(3)
            new.confirm(count)
            await asyncio.sleep(4)
        await old.stop()
        new.confirm(22)
        await new.uploader.flush(log.end, 100)
        await new.stop()
        for one in (*old.held, *new.held):
            if one != log.start:
                assert restored(new.archive, one, tmp_path / "r")

    run(work)


def test_an_archive_of_another_log_is_a_problem_and_nothing_is_uploaded(log: Log, tmp_path: Path) -> None:
    """As when the followers' log was trimmed and the store that it went to is not the one that is used now."""
    other = Log(tmp_path / "other")
    other.run("CREATE TABLE other (x)")

    async def work() -> None:
        world = World(other)
        world.confirm(1)
        await world.uploader.flush(other.end, 100)
        await world.stop()
        wrong = World(log, world.store)
        wrong.confirm(5)
        await wrong.wait(lambda: "not in this log" in wrong.uploader.state().problem)
        assert len(wrong.archive.segments()) == 1
        await wrong.stop()

    run(work)
    other.close()
