"""A primary keeps its database in cold storage, in one process, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.services.local_system import LocalSystem

from raylite.actors.archiving import Archiving
from raylite.actors.cold import marker
from raylite.actors.cold.archive import Archive
from raylite.actors.cold.folder import open_store
from raylite.actors.cold.marker import Marker
from raylite.actors.cold.restore import restore
from raylite.actors.confirmed_log import ConfirmedLog
from raylite.actors.core import messages as m
from raylite.actors.core.piece import describe_all
from raylite.actors.primary import Primary
from raylite.actors.replica import Replica
from raylite.actors.storage.engine import Engine
from raylite.actors.storage.files import RealFiles
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import (
    BookmarkError,
    NoQuorum,
    NotAllowed,
    OutcomeUnknown,
    Overloaded,
    ParameterError,
    StatementError,
    Unreachable,
)
from raylite.policies.limits import COLD_WAITING_BYTES
from raylite.policies.query import Mode, Query, Statement
from raylite.policies.status import ActorStatus


class ColdSystem(LocalSystem):
    """A system that has cold storage, in a folder unless `address` says otherwise."""

    address = ""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.cold = directory / "cold"
        self.settings = msgspec.structs.replace(self.settings, cold=self.address or str(self.cold))

    def claim(self) -> None:
        marker.claim(open_store(self.settings.cold), Marker(self.settings.system_id, self.database_id))

    def archive(self) -> Archive:
        return Archive(open_store(self.settings.cold), self.database_id)

    def rows(self, bookmark: str, sql: str) -> list[object]:
        """What a query finds in the database that cold storage alone gives."""
        path = self.directory / "restored"
        restore(self.archive(), Bookmark.parse(bookmark), RealFiles(), path)
        with closing(Engine.past(path)) as engine:
            ran = engine.execute(Query("", Mode.RUN, (Statement(sql),), "", 10.0), 10.0)
            assert ran.error is None
            return [row[0] for row in ran.results[0].rows]


def run(
    directory: Path, case: Callable[[ColdSystem, Primary], Awaitable[None]], *, claimed: bool = True
) -> None:
    """Runs a case with a primary that keeps its database in a store; claimed: marked as this system's."""

    async def main() -> None:
        system = ColdSystem(directory)
        if claimed:
            system.claim()
        await system.start()
        try:
            await case(system, system.start_primary())
        finally:
            await system.stop()

    asyncio.run(main())


def archiving_of(primary: Primary) -> Archiving:
    assert primary.archiving is not None
    return primary.archiving


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.02)


async def says(primary: Primary, text: str) -> None:
    async def so() -> bool:
        found: ActorStatus = await primary.status()
        return any(text in one for one in found.problems)

    await until(so)


def test_what_is_confirmed_comes_to_cold_storage_and_can_be_restored_from_it_alone(tmp_path: Path) -> None:
    async def case(system: ColdSystem, primary: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER, b BLOB)")
        bookmarks = [
            (await system.query("primary:shop", "INSERT INTO t VALUES (?, randomblob(3000))", n)).bookmark
            for n in range(50)
        ]
        large = await system.query(
            "primary:shop", "INSERT INTO t SELECT 1000, randomblob(1000000) FROM t LIMIT 12"
        )
        await archiving_of(primary).flush(Bookmark.parse(large.bookmark))
        assert (await primary.status()).cold == large.bookmark
        for count in (1, 25, 50):
            found = await asyncio.to_thread(system.rows, bookmarks[count - 1], "SELECT n FROM t ORDER BY n")
            assert found == list(range(count))
        assert await asyncio.to_thread(system.rows, large.bookmark, "SELECT sum(n) FROM t") == [1225 + 12_000]

    run(tmp_path, case)


def test_the_next_primary_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    async def case(system: ColdSystem, primary: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        first = await system.query("primary:shop", "INSERT INTO t VALUES (1)")
        await archiving_of(primary).flush(Bookmark.parse(first.bookmark))
        await system.query("primary:shop", "INSERT INTO t VALUES (2)")
        await system.end("primary:shop")
        system.forget_connections()
        primary = system.start_primary()
        second = await system.query("primary:shop", "INSERT INTO t VALUES (3)")
        await archiving_of(primary).flush(Bookmark.parse(second.bookmark))
        assert await asyncio.to_thread(system.rows, second.bookmark, "SELECT n FROM t") == [1, 2, 3]

    run(tmp_path, case)


def test_without_the_stores_marker_nothing_is_uploaded_and_writes_go_on(tmp_path: Path) -> None:
    async def case(system: ColdSystem, primary: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        await says(primary, "no marker")
        await system.query("primary:shop", "INSERT INTO t VALUES (1)")
        assert not system.archive().snapshots()
        system.claim()
        answer = await system.query("primary:shop", "INSERT INTO t VALUES (2)")
        await archiving_of(primary).flush(Bookmark.parse(answer.bookmark))
        assert not (await primary.status()).problems

    run(tmp_path, case, claimed=False)


def test_a_store_that_fails_is_a_problem_in_status_until_it_is_back(tmp_path: Path) -> None:
    async def case(system: ColdSystem, primary: Primary) -> None:
        first = await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        archiving = archiving_of(primary)
        await archiving.flush(Bookmark.parse(first.bookmark))
        away = system.cold.rename(tmp_path / "away")
        system.cold.write_text("a file where the folder was")
        answer = await system.query("primary:shop", "INSERT INTO t VALUES (1)")
        with pytest.raises((Unreachable, TimeoutError)):
            await asyncio.wait_for(archiving.flush(Bookmark.parse(answer.bookmark)), 1)
        await says(primary, str(system.cold))
        system.cold.unlink()
        away.rename(system.cold)
        await archiving.flush(Bookmark.parse(answer.bookmark))

        async def is_well() -> bool:
            return not (await primary.status()).problems

        await until(is_well)

    run(tmp_path, case)


def test_writes_are_refused_once_too_much_waits(tmp_path: Path) -> None:
    async def case(system: ColdSystem, primary: Primary) -> None:
        first = await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        archiving = archiving_of(primary)
        await archiving.flush(Bookmark.parse(first.bookmark))
        archiving.made(COLD_WAITING_BYTES)
        await system.query("primary:shop", "INSERT INTO t VALUES (1)")
        with pytest.raises(Overloaded, match="cold storage"):
            await system.query("primary:shop", "INSERT INTO t VALUES (2)")
        answer = await system.query("primary:shop", "SELECT n FROM t")
        await archiving.flush(Bookmark.parse(answer.bookmark))
        await system.query("primary:shop", "INSERT INTO t VALUES (3)")

    run(tmp_path, case)


def test_what_a_follower_holds_and_nobody_has_confirmed_is_not_uploaded(tmp_path: Path) -> None:
    async def case(system: ColdSystem, primary: Primary) -> None:
        first = await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        relay = primary.relay
        assert relay is not None
        log = ConfirmedLog(relay)
        start = origin(system.database_id)
        confirmed = await log.read(start, 1 << 20)
        assert describe_all(start, confirmed)[-1].place == Bookmark.parse(first.bookmark)
        for index in (2, 3, 4):
            await system.end(f"follower:{index}")
        with pytest.raises((NoQuorum, OutcomeUnknown)):
            await system.query("primary:shop", "INSERT INTO t VALUES (1)", seconds=1.5)

        async def two_hold_more() -> bool:
            found = await relay.read(Bookmark.parse(first.bookmark))
            return isinstance(found, m.Pieces) and bool(found.pieces)

        await until(two_hold_more)
        assert await log.read(Bookmark.parse(first.bookmark), 1 << 20) == []
        assert await log.read(start, 1 << 20) == confirmed

    run(tmp_path, case)


def test_times_lead_to_bookmarks(tmp_path: Path) -> None:
    async def case(system: ColdSystem, primary: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        answer = await system.query("primary:shop", "INSERT INTO t VALUES (1)")
        archiving = archiving_of(primary)
        span = await archiving.span()
        assert span.newest == answer.bookmark
        assert await archiving.moment(span.newest_us + 10**9) == span.newest
        assert span.oldest <= await archiving.moment(span.newest_us - 1) < span.newest
        with pytest.raises(ParameterError, match="before the oldest"):
            await archiving.moment(1)

    run(tmp_path, case)


def test_the_past_is_read_as_it_was_and_cannot_be_written(tmp_path: Path) -> None:
    async def case(system: ColdSystem, _: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        bookmarks = [
            (await system.query("primary:shop", "INSERT INTO t VALUES (?)", n)).bookmark for n in range(5)
        ]
        await system.query("primary:shop", "DROP TABLE t")
        for n, bookmark in enumerate(bookmarks):
            answer = await system.query("primary:shop", "SELECT n FROM t", at=bookmark)
            assert answer.results[0].rows == [(one,) for one in range(n + 1)]
            assert answer.bookmark == bookmark
        for write in ("INSERT INTO t VALUES (9)", "DROP TABLE t", "INSERT INTO t VALUES (9) RETURNING n"):
            with pytest.raises(NotAllowed, match="past"):
                await system.query("primary:shop", write, at=bookmarks[0])
        with pytest.raises(StatementError, match="missing"):
            await system.query("primary:shop", "SELECT * FROM missing", at=bookmarks[0])
        here = Bookmark.parse(bookmarks[4])
        for foreign in (
            Bookmark(here.epoch, here.sequence, here.history, bytes(12)),
            Bookmark(here.epoch, here.sequence + 100, here.history, here.digest),
            origin("another"),
        ):
            with pytest.raises(BookmarkError):
                await system.query("primary:shop", "SELECT 1", at=str(foreign))

    run(tmp_path, case)


def test_without_cold_storage_there_is_no_past(tmp_path: Path) -> None:
    async def main() -> None:
        system = LocalSystem(tmp_path)
        await system.start()
        system.start_primary()
        answer = await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        with pytest.raises(NotAllowed, match="--cold"):
            await system.query("primary:shop", "SELECT 1", at=answer.bookmark)
        await system.stop()

    asyncio.run(main())


def test_a_restore_is_a_write_that_replicas_and_sessions_follow_and_that_can_be_undone(
    tmp_path: Path,
) -> None:
    async def case(system: ColdSystem, primary: Primary) -> None:
        system.start_replica("weur")
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER PRIMARY KEY, b BLOB)")
        early = await system.query("primary:shop", "INSERT INTO t VALUES (1, randomblob(5000))")
        await system.query("primary:shop", "CREATE TABLE later (x)")
        late = await system.query(
            "primary:shop",
            "WITH n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i <= 3000) "
            "INSERT INTO t SELECT i, randomblob(5000) FROM n",
        )
        restored = await primary.restore(early.bookmark)
        assert restored.undo == late.bookmark < restored.bookmark
        for actor in ("primary:shop", "replica:shop:weur"):
            answer = await system.query(actor, "SELECT count(*) FROM t", bookmark=restored.bookmark)
            assert (answer.results[0].rows, answer.served_by) == ([(1,)], actor)
            with pytest.raises(StatementError, match="later"):
                await system.query(actor, "SELECT * FROM later", bookmark=restored.bookmark)
        again = await system.query(
            "replica:shop:weur", "INSERT INTO t VALUES (2, NULL)", bookmark=late.bookmark
        )
        assert again.bookmark > restored.bookmark
        undone = await primary.restore(restored.undo)
        for actor in ("primary:shop", "replica:shop:weur"):
            answer = await system.query(actor, "SELECT count(*), max(n) FROM t", bookmark=undone.bookmark)
            assert answer.results[0].rows == [(3001, 3001)]
        await system.query("primary:shop", "SELECT * FROM later")
        checks = [
            await one.check() for one in system.around.services.values() if isinstance(one, Primary | Replica)
        ]
        assert len({(one.bookmark, one.digest) for one in checks}) == 1
        assert not any(one.problems for one in checks)
        for wrong in (str(origin("another")), "no bookmark"):
            with pytest.raises(BookmarkError):
                await primary.restore(wrong)

    run(tmp_path, case)
