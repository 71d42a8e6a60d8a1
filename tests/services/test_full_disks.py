"""Disks without room, under a whole system in one process: clear errors, nothing lost, and all is well again after."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import pytest
from tests.services.local_system import LocalSystem
from tests.services.small_disk import SmallDisk
from tests.services.test_system import PRIMARY, copies_agree, run, until
from tests.small_mount import small_mount

from raylite.actors.follower import Follower
from raylite.actors.primary import Primary
from raylite.policies import limits
from raylite.policies.errors import Error, NoQuorum, OutcomeUnknown, StorageFull
from raylite.policies.status import ActorStatus

REPLICA = "replica:shop:weur"
LITTLE = 1 << 20
NEARLY_NOTHING = 96 << 10
PLENTY = 1 << 30
NUMBERS = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 70)"


async def shrink(system: LocalSystem, index: int, room: int) -> SmallDisk:
    """Restarts a follower on a disk with so much room left."""
    await system.end(f"follower:{index}")
    disk = SmallDisk(room)
    system.start_follower(index, disk)
    return disk


async def status_of(system: LocalSystem, name: str) -> ActorStatus:
    service = system.around.services[name]
    assert isinstance(service, Primary | Follower)
    return await service.status()


async def are_low(system: LocalSystem, *indexes: int) -> None:
    """Waits until the primary has heard from these followers, and no others, that they have no room."""
    names = {f"follower:{index} has no room left on its disk" for index in indexes}

    async def heard() -> bool:
        problems = (await status_of(system, PRIMARY)).problems
        answering = not any("does not answer" in one for one in problems)
        return answering and {one for one in problems if "no room" in one} == names

    await until(heard)


async def writes_again(system: LocalSystem, a: int) -> None:
    async def works() -> bool:
        try:
            await system.query(PRIMARY, "INSERT OR IGNORE INTO t VALUES (?, 'again')", a)
        except Error:
            return False
        return True

    await until(works)


def test_two_followers_without_room_hold_nothing_up_and_a_third_ends_writes_at_once(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        disks = [await shrink(system, index, LITTLE) for index in range(2)]
        await are_low(system, 0, 1)
        await system.query(PRIMARY, "INSERT INTO t VALUES (1, 'two have no room')")
        disks.append(await shrink(system, 2, LITTLE))
        await are_low(system, 0, 1, 2)
        began = time.monotonic()
        with pytest.raises(StorageFull, match="follower:0, follower:1, follower:2"):
            await system.query(PRIMARY, "INSERT INTO t VALUES (2, 'refused')")
        assert time.monotonic() - began < 1
        read = await system.query(PRIMARY, "SELECT group_concat(a) FROM t")
        assert read.results[0].rows == [("1",)]
        assert "free space" in (await status_of(system, "follower:2")).problems[0]
        disks[0].room = PLENTY
        await writes_again(system, 3)
        await are_low(system, 1, 2)
        assert not (await status_of(system, "follower:0")).problems

    run(tmp_path, case)


def test_a_transaction_that_fills_the_disks_is_confirmed_once_there_is_room(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        disks = [await shrink(system, index, LITTLE) for index in range(2)]
        disks.append(await shrink(system, 2, limits.SEGMENT_BYTES))
        await are_low(system, 0, 1)
        with pytest.raises(
            OutcomeUnknown, match="no room left on the disks of follower:0, follower:1, follower:2"
        ):
            await system.query(
                PRIMARY, f"{NUMBERS} INSERT INTO t SELECT i, randomblob(1000000) FROM n", seconds=30
            )
        began = time.monotonic()
        with pytest.raises(StorageFull, match="follower:2"):
            await system.query(PRIMARY, "SELECT count(*) FROM t")
        assert time.monotonic() - began < 1
        for disk in disks:
            disk.room = PLENTY
        await writes_again(system, 1000)
        for index in (3, 4):
            await system.end(f"follower:{index}")
        await writes_again(system, 1001)
        found = await system.query(PRIMARY, "SELECT count(*) FROM t")
        assert found.results[0].rows == [(72,)]

    run(tmp_path, case)


def test_a_full_disk_still_takes_what_a_new_primary_needs(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        disks = [await shrink(system, index, NEARLY_NOTHING) for index in range(2)]
        await are_low(system, 0, 1)
        for a in range(40):
            await system.query(PRIMARY, "INSERT INTO t VALUES (?, randomblob(5000))", a)
        problems = (await status_of(system, "follower:0")).problems
        assert problems
        disks.append(await shrink(system, 2, NEARLY_NOTHING))
        for index in (3, 4):
            await shrink(system, index, NEARLY_NOTHING)
        await are_low(system, 0, 1, 2, 3, 4)
        await system.end(PRIMARY)
        system.start_primary()
        read = await system.query(PRIMARY, "SELECT count(*) FROM t")
        assert read.results[0].rows == [(40,)]
        with pytest.raises(StorageFull):
            await system.query(PRIMARY, "INSERT INTO t VALUES (100, 'no')")
        for disk in disks:
            disk.room = PLENTY
        await writes_again(system, 101)

    run(tmp_path, case)


def test_a_follower_that_finds_its_disk_full_at_its_start_says_so_and_goes_on_by_itself(
    tmp_path: Path,
) -> None:
    async def case(system: LocalSystem) -> None:
        disk = await shrink(system, 0, 0)
        for name in ("follower:1", "follower:2"):
            await system.end(name)

        async def says_so() -> bool:
            return any("Free space" in one for one in (await status_of(system, "follower:0")).problems)

        await until(says_so)
        with pytest.raises((NoQuorum, OutcomeUnknown)):
            await system.query(PRIMARY, "INSERT INTO t VALUES (1, 'no')")
        disk.room = PLENTY
        await writes_again(system, 2)

    run(tmp_path, case)


def test_writes_of_one_database_are_refused_without_any_lost(tmp_path: Path) -> None:
    """Clients write without pause while three disks lose their room and get it back."""

    async def case(system: LocalSystem) -> None:
        acknowledged: set[int] = set()
        stopping = asyncio.Event()

        async def write(first: int) -> None:
            for a in range(first, first + 100_000):
                if stopping.is_set():
                    return
                try:
                    await system.query(PRIMARY, "INSERT INTO t VALUES (?, 'x')", a)
                except Error:
                    await asyncio.sleep(0.01)
                else:
                    acknowledged.add(a)

        writers = [asyncio.create_task(write(1_000_000 * client)) for client in range(4)]
        disks = [await shrink(system, index, LITTLE) for index in range(3)]
        await are_low(system, 0, 1, 2)
        for disk in disks:
            disk.room = PLENTY
        await are_low(system)
        count = len(acknowledged)
        await until(lambda: _grows(acknowledged, count))
        stopping.set()
        await asyncio.gather(*writers)
        found = await system.query(PRIMARY, "SELECT a FROM t")
        assert acknowledged <= {row[0] for row in found.results[0].rows}

    run(tmp_path, case)


async def _grows(acknowledged: set[int], count: int) -> bool:
    return len(acknowledged) > count + 20


def test_a_replica_without_room_shows_what_it_has_and_goes_on_by_itself(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        replica = system.start_replica("weur")
        first = await system.query(PRIMARY, "INSERT INTO t VALUES (1, 'before')")
        await system.query(REPLICA, "SELECT 1", bookmark=first.bookmark)
        disk.fill()
        last = first
        for a in range(2, 60):
            last = await system.query(PRIMARY, "INSERT INTO t VALUES (?, randomblob(20000))", a)

        async def says_so() -> bool:
            return any("Free space" in one for one in (await replica.status()).problems)

        await until(says_so)
        old = await system.query(REPLICA, "SELECT min(b) FROM t")
        assert (old.results[0].rows, old.primary) == ([("before",)], False)
        new = await system.query(REPLICA, "SELECT count(*) FROM t", bookmark=last.bookmark)
        assert (new.results[0].rows, new.primary) == ([(59,)], True)
        disk.free()
        primary = system.around.services[PRIMARY]
        assert isinstance(primary, Primary)
        await copies_agree(primary, replica)
        assert not (await replica.status()).problems

    with small_mount(tmp_path / "replica-weur", 8 << 20) as disk:
        run(tmp_path, case)


def test_a_replica_that_cannot_checkpoint_for_lack_of_room_loses_nothing(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        replica, primary = system.start_replica("weur"), system.around.services[PRIMARY]
        assert isinstance(primary, Primary)
        for a in range(1000):
            await system.query(PRIMARY, "INSERT INTO t VALUES (?, randomblob(20000))", a)
            if (await replica.status()).problems:
                break
        else:
            raise AssertionError("the disk never filled up")
        last = await system.query(PRIMARY, "DELETE FROM t WHERE a > 10")
        await system.query(REPLICA, "SELECT count(*) FROM t", bookmark=last.bookmark)
        assert not system.around.crashes

    with small_mount(tmp_path / "replica-weur", 12 << 20):
        run(tmp_path, case)


def test_a_primary_without_room_refuses_writes_answers_reads_and_goes_on_by_itself(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        await system.query(PRIMARY, "INSERT INTO t VALUES (1, 'before')")
        disk.fill()

        async def is_full() -> bool:
            try:
                await system.query(PRIMARY, "INSERT INTO t (b) VALUES (randomblob(50000))")
            except StorageFull as error:
                return "Nothing was applied" in str(error)
            return False

        await until(is_full)
        read = await system.query(PRIMARY, "SELECT min(b) FROM t")
        assert read.results[0].rows == [("before",)]
        disk.free()
        replica = system.start_replica("weur")
        await writes_again(system, 1000)
        primary = system.around.services[PRIMARY]
        assert isinstance(primary, Primary)
        await copies_agree(primary, replica)

    with small_mount(tmp_path / "primary", 32 << 20) as disk:
        run(tmp_path, case)


def test_a_primary_that_finds_its_disk_full_says_so_and_opens_once_there_is_room(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        for a in range(300):
            await system.query(PRIMARY, "INSERT INTO t VALUES (?, randomblob(20000))", a)
        await system.end(PRIMARY)
        for folder in disk.path.glob("generation-*"):
            shutil.rmtree(folder)
        disk.fill()
        system.start_primary()

        async def refuses() -> bool:
            with pytest.raises(StorageFull, match="Free space"):
                await system.query(PRIMARY, "SELECT 1")
            return any("Free space" in one for one in (await status_of(system, PRIMARY)).problems)

        await until(refuses)
        disk.free()

        async def opens() -> bool:
            try:
                read = await system.query(PRIMARY, "SELECT count(*) FROM t")
            except StorageFull:
                return False
            return read.results[0].rows == [(300,)]

        await until(opens)

    with small_mount(tmp_path / "primary", 32 << 20) as disk:
        run(tmp_path, case)
