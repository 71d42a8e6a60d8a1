"""What campaigns do to streams, disks, clocks and files does what its name says, and ends when it should."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from tests.chaos import damage, rules
from tests.chaos.history import Operation, Outcome
from tests.chaos.inside import install_in_driver
from tests.chaos.records import Asked, End, Fault, Line, Record, read
from tests.chaos.rules import Clock, Cut, Disk, DiskFault, World
from tests.chaos.wrong_clocks import WrongClocks
from tests.chaos.wrong_disks import wrong_files
from tests.chaos.wrong_streams import dialling
from tests.unit.log_model import OWNER, begin, entries, place_of
from tests.unit.stream_world import DIALLER, LISTENER, append, run_on

from raylite.actors.core.messages import Appended
from raylite.actors.storage.log_file import Journal
from raylite.actors.stream import Connection, Payload, Server
from raylite.policies.bookmark import origin
from raylite.policies.errors import NoReply, StorageFailed, StorageFull, Unreachable

SEGMENT_BYTES = 1 << 20


def soon(seconds: float = 60.0) -> float:
    return time.monotonic() + seconds


def test_a_cut_stops_the_ways_that_it_names_until_it_ends(tmp_path: Path) -> None:
    world = World(tmp_path)
    rules.write(tmp_path, [Cut(("a",), ("b", "driver"), soon(), to_one=False), Cut(("c",), (), soon())])
    stopped = {(x, y) for x in "abcd" for y in "abcd" if x != y and world.cut(x, y)}
    assert stopped == {("a", "b"), *(("c", x) for x in "abd"), *((x, "c") for x in "abd")}
    assert world.cut("a", "driver:123") is not None
    rules.write(tmp_path, [Cut(("a",), (), time.monotonic())])
    assert world.cut("a", "b") is None


def test_what_arrives_through_a_cut_is_held_until_it_ends_or_the_connection_breaks(tmp_path: Path) -> None:
    def agree(_connection: Connection, message: Payload) -> Payload:
        return Appended("db", 1, 1, origin("db"))

    async def body() -> None:
        server = await Server.start(LISTENER, agree, "127.0.0.1")
        connection = await dialling(World(tmp_path, "driver"))(DIALLER, server.endpoint, agree)
        assert await connection.call(append(1), 5) is not None
        begun = time.monotonic()
        rules.write(tmp_path, [Cut((LISTENER.actor,), (), soon(0.3), to_one=False)])
        assert await connection.call(append(2), 5) is not None
        assert time.monotonic() - begun >= 0.3
        rules.write(tmp_path, [Cut(("driver",), (), soon(), breaks=True)])
        with pytest.raises(NoReply):
            await connection.call(append(3), 5)
        with pytest.raises(Unreachable, match="a campaign cut it"):
            await dialling(World(tmp_path, "driver"))(DIALLER, server.endpoint, agree)
        await connection.stop()
        await server.stop()

    with ExitStack() as undo:
        install_in_driver(tmp_path, undo)
        run_on("uvloop", body)


def journal_on(folder: Path, world: World) -> Journal:
    return Journal.open(folder / "1", OWNER, wrong_files(world)(), segment_bytes=SEGMENT_BYTES)


def test_a_failed_sync_costs_what_it_covered_and_nothing_before(tmp_path: Path) -> None:
    world, first = World(tmp_path), entries("a", 2)
    journal = journal_on(tmp_path, world)
    journal.write(begin("a") + first)
    journal.sync()
    rules.write(tmp_path, [Disk("follower:1", DiskFault.FAILED_SYNC, soon())])
    journal.write(entries("a", 1, end=place_of(first[-1])))
    with pytest.raises(StorageFailed, match="fails to sync"):
        journal.sync()
    journal.close()
    rules.write(tmp_path, [])
    again = journal_on(tmp_path, world)
    held = again.recovered["a"]
    assert not held.gave_up
    assert held.end.sequence >= 2
    again.close()


def test_a_full_disk_opens_no_journal_and_a_slow_one_takes_its_time(tmp_path: Path) -> None:
    world = World(tmp_path)
    rules.write(tmp_path, [Disk("follower:1", DiskFault.FULL, soon())])
    with pytest.raises(StorageFull):
        journal_on(tmp_path, world)
    rules.write(tmp_path, [Disk("follower:2", DiskFault.FULL, soon())])
    journal = journal_on(tmp_path, world)
    rules.write(tmp_path, [Disk("follower:1", DiskFault.SLOW, soon(), seconds=0.1)])
    journal.write(begin("a"))
    begun = time.monotonic()
    journal.sync()
    assert time.monotonic() - begun >= 0.1
    journal.close()


def test_a_torn_write_ends_the_process_and_what_was_synced_is_there(tmp_path: Path) -> None:
    world = World(tmp_path)
    journal = journal_on(tmp_path, world)
    first = entries("a", 2)
    journal.write(begin("a") + first)
    journal.sync()
    rules.write(tmp_path, [Disk("follower:1", DiskFault.TORN, soon(), seed=3)])
    child = os.fork()
    if not child:
        journal.write(entries("a", 20, end=place_of(first[-1])))
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    rules.write(tmp_path, [])
    journal.close()
    again = journal_on(tmp_path, world)
    assert again.recovered["a"].end.sequence >= 2
    assert not again.recovered["a"].gave_up
    again.close()


def test_every_bit_that_is_flipped_in_a_journal_is_noticed_or_leaves_all_that_counts(tmp_path: Path) -> None:
    world, first = World(tmp_path), entries("a", 3)
    journal = journal_on(tmp_path, world)
    for batch in (begin("a"), first, entries("a", 1, end=place_of(first[-1]))):
        journal.write(batch)
        journal.sync()
    os.close(journal._lock)  # pyright: ignore[reportPrivateUsage] - a kill leaves no mark behind
    (segment,) = (tmp_path / "1").glob("*.journal")
    whole, lost = segment.read_bytes(), 0
    for seed in range(60):
        for path in (tmp_path / "1").glob("*.journal"):
            path.unlink()
        segment.write_bytes(whole)
        assert damage.flip_journal(tmp_path / "1", random.Random(seed))
        again = journal_on(tmp_path, world)
        held = again.recovered["a"]
        lost += held.gave_up
        assert held.gave_up or held.end.sequence == 4
        again.close()
    assert lost


def test_clocks_are_off_while_the_rule_lasts_and_that_of_leases_never_goes_back(tmp_path: Path) -> None:
    clocks = WrongClocks(World(tmp_path, "follower:1"))
    now: Callable[[], float] = partial(clocks.clock_gettime, time.CLOCK_BOOTTIME)
    rules.write(tmp_path, [Clock("follower:1", soon(), jump_us=-3_600_000_000, rate=0.5)])
    begun, seen = time.monotonic(), [now()]
    while time.monotonic() < begun + 0.2:
        seen.append(now())
    assert 0 < seen[-1] - seen[0] < 0.51 * (time.monotonic() - begun)
    assert abs(clocks.time_ns() - time.time_ns() + 3600 * 10**9) < 10**9
    rules.write(tmp_path, [])
    seen.append(now())
    assert seen == sorted(seen)
    assert abs(clocks.time_ns() - time.time_ns()) < 10**9


def test_a_flipped_bit_is_one_bit_and_flipped_twice_none(tmp_path: Path) -> None:
    path = tmp_path / "object"
    path.write_bytes(bytes(100))
    place = damage.flip_object(path, random.Random(1))
    assert sum(byte.bit_count() for byte in path.read_bytes()) == 1
    damage.flip(path, *place)
    assert path.read_bytes() == bytes(100)


def test_a_history_is_read_as_it_was_written_also_if_its_end_is_missing(tmp_path: Path) -> None:
    record = Record(tmp_path / "history.jsonl")
    operation = Operation("1.1", 1, 0, Outcome.DONE, 0.5, 1.5, "", "02", {1: (3, 3)}, primary=True)
    lines: list[Line] = [Fault(1.0, "kill"), Asked(operation), End(((1, 1),), ("lost",))]
    for line in lines:
        record.add(line)
    record.close()
    assert read(record.path) == lines
    record.path.write_bytes(record.path.read_bytes()[:-5])
    assert read(record.path) == lines[:-1]
