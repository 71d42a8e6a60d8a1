"""The services of a system in one process: what the parts do together, without Ray."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from pathlib import Path

import pytest
import uvloop
from tests.services.local_system import LocalSystem

from raylite.actors.primary import Primary
from raylite.actors.replica import Replica
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import BookmarkError, Error, NoQuorum, OutcomeUnknown
from raylite.policies.query import Mode
from raylite.policies.status import CopyCheck

PRIMARY = "primary:shop"
Case = Callable[[LocalSystem], Coroutine[object, object, None]]


@contextlib.asynccontextmanager
async def running(directory: Path) -> AsyncGenerator[LocalSystem]:
    system = LocalSystem(directory)
    await system.start()
    system.start_primary()
    await system.query(PRIMARY, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
    try:
        yield system
    finally:
        await system.stop()


def run(directory: Path, case: Case) -> None:
    async def main() -> None:
        async with running(directory) as system:
            await case(system)

    uvloop.run(main())


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


async def copies_agree(*services: Primary | Replica) -> None:
    async def same() -> bool:
        checks = await asyncio.gather(*(one.check() for one in services), return_exceptions=True)
        whole = [one for one in checks if isinstance(one, CopyCheck) and not one.problems]
        return len(whole) == len(services) and len({(one.bookmark, one.digest) for one in whole}) == 1

    await until(same)


def test_a_replica_shows_a_write_at_its_bookmark(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        system.start_replica("weur")
        for a in range(20):
            written = await system.query(PRIMARY, "INSERT INTO t VALUES (?, 'x')", a)
            read = await system.query(
                "replica:shop:weur", "SELECT count(*) FROM t", bookmark=written.bookmark
            )
            assert read.results[0].rows == [(a + 1,)]
            assert Bookmark.parse(read.bookmark) >= Bookmark.parse(written.bookmark)

    run(tmp_path, case)


def test_a_replica_that_comes_late_reads_the_log_from_a_follower(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        primary = system.around.services[PRIMARY]
        assert isinstance(primary, Primary)
        for a in range(30):
            await system.query(PRIMARY, "INSERT INTO t VALUES (?, randomblob(9000))", a)
        await system.end(PRIMARY)
        second = system.start_primary()
        last = await system.query(PRIMARY, "INSERT INTO t VALUES (100, 'after')")
        replica = system.start_replica("apac")
        read = await system.query("replica:shop:apac", "SELECT count(*) FROM t", bookmark=last.bookmark)
        assert read.results[0].rows == [(31,)]
        await copies_agree(second, replica)

    run(tmp_path, case)


def test_a_transaction_of_many_pieces_arrives_whole(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        primary = system.around.services[PRIMARY]
        assert isinstance(primary, Primary)
        replica = system.start_replica("weur")
        script = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
        big = await system.query(
            PRIMARY, f"{script} INSERT INTO t SELECT i, randomblob(4000) FROM n", seconds=30
        )
        read = await system.query("replica:shop:weur", "SELECT count(*) FROM t", bookmark=big.bookmark)
        assert read.results[0].rows == [(3000,)]
        await copies_agree(primary, replica)

    run(tmp_path, case)


def test_writes_go_on_without_two_followers_and_are_refused_without_three(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        for index in range(2):
            await system.end(f"follower:{index}")
        await system.query(PRIMARY, "INSERT INTO t VALUES (1, 'two are gone')")
        await system.end("follower:2")
        with pytest.raises((OutcomeUnknown, NoQuorum)):
            await system.query(PRIMARY, "INSERT INTO t VALUES (2, 'three are gone')")
        with pytest.raises(NoQuorum):
            await system.query(PRIMARY, "INSERT INTO t VALUES (3, 'refused at once')", seconds=0.5)
        for index in range(3):
            system.start_follower(index)

        async def writes_again() -> bool:
            try:
                await system.query(PRIMARY, "INSERT INTO t VALUES (4, 'back')")
            except Error:
                return False
            return True

        await until(writes_again)
        kept = await system.query(PRIMARY, "SELECT group_concat(a) FROM t WHERE a IN (1, 3, 4)")
        assert kept.results[0].rows == [("1,4",)]

    run(tmp_path, case)


def test_everything_acknowledged_survives_the_end_of_all_processes(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        for a in range(50):
            await system.query(PRIMARY, "INSERT INTO t VALUES (?, 'kept')", a)
        for name in [PRIMARY, *(f"follower:{index}" for index in range(5))]:
            await system.end(name)
        for index in range(5):
            system.start_follower(index)
        system.start_primary()
        read = await system.query(PRIMARY, "SELECT count(*) FROM t")
        assert read.results[0].rows == [(50,)]

    run(tmp_path, case)


def test_a_second_primary_fences_the_first_and_has_all_that_it_acknowledged(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        first = system.around.services.pop(PRIMARY)
        await system.query(PRIMARY, "INSERT INTO t VALUES (1, 'first')")
        second = system.start_primary("another-directory")
        await until(lambda: is_open(second), seconds=20)
        system.forget_connections()
        read = await system.query(PRIMARY, "SELECT b FROM t")
        assert read.results[0].rows == [("first",)]
        await until(lambda: has_left(system))
        assert isinstance(first, Primary)
        assert (await first.status()).state == "over"
        await first.stop()

    run(tmp_path, case)


async def is_open(primary: Primary) -> bool:
    return (await primary.status()).state == "open"


async def has_left(system: LocalSystem) -> bool:
    return bool(system.around.left)


def test_bookmarks_that_do_not_belong_are_refused_everywhere(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        system.start_replica("weur")
        written = await system.query(PRIMARY, "INSERT INTO t VALUES (1, 'x')")
        here = Bookmark.parse(written.bookmark)
        forged = Bookmark(here.epoch, here.sequence, here.history, bytes(12))
        beyond = Bookmark(here.epoch, here.sequence + 1000, here.history, here.digest)
        foreign = origin("another database")
        for actor in (PRIMARY, "replica:shop:weur"):
            for wrong in (str(forged), str(beyond), str(foreign), "not a bookmark"):
                with pytest.raises(BookmarkError):
                    await system.query(actor, "SELECT 1", bookmark=wrong)

    run(tmp_path, case)


def test_the_wal_is_checkpointed_under_steady_writes(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        primary = system.around.services[PRIMARY]
        assert isinstance(primary, Primary)
        replica = system.start_replica("weur")

        async def write(first: int) -> None:
            for a in range(first, first + 60):
                await system.query(PRIMARY, "INSERT INTO t VALUES (?, randomblob(12000))", a)

        await asyncio.gather(*(write(1000 * client) for client in range(8)))
        await copies_agree(primary, replica)
        for one in (primary, replica):
            assert (await one.status()).wal_bytes < 2 * limits.WAL_CHECKPOINT_BYTES

    run(tmp_path, case)


def test_an_error_in_a_batch_leaves_nothing_and_carries_a_bookmark(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        with pytest.raises(Error, match="UNIQUE"):
            await system.query(
                PRIMARY,
                "INSERT INTO t VALUES (7, 'a')",
                mode=Mode.BATCH,
                more=("INSERT INTO t VALUES (7, 'b')",),
            )
        assert (await system.query(PRIMARY, "SELECT count(*) FROM t")).results[0].rows == [(0,)]

    run(tmp_path, case)
