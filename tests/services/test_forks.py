"""Forks: a database that begins as another was, from what cold storage has of that. In one process, without Ray."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from tests.services.test_archiving import ColdSystem, archiving_of, until

from raylite.actors import replay
from raylite.actors.cold.archive import Archive
from raylite.actors.cold.folder import open_store
from raylite.actors.cold.fork import fork_base
from raylite.actors.cold.restore import restore
from raylite.actors.core import messages as m
from raylite.actors.enlistment import base_of
from raylite.actors.primary import Primary
from raylite.actors.storage.files import RealFiles
from raylite.actors.storage.generation import Generation
from raylite.actors.storage.snapshot import Snapshot
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.catalogue import DatabaseEntry, Fork
from raylite.policies.errors import BookmarkError, StorageFull, Unreachable

COPY = "fedcba9876543210"


def run(directory: Path, case: Callable[[ColdSystem, Primary], Awaitable[None]]) -> None:
    async def main() -> None:
        system = ColdSystem(directory)
        system.claim()
        await system.start()
        try:
            await case(system, system.start_primary())
        finally:
            await system.stop()

    asyncio.run(main())


async def forked(
    system: ColdSystem, parent: Primary, bookmark: str, fork_id: str = COPY, name: str = "copy"
) -> Primary:
    """The primary of a fork."""
    return await start(system, await parent.fork(fork_id, bookmark), fork_id, name)


async def start(system: ColdSystem, fork: Fork, fork_id: str = COPY, name: str = "copy") -> Primary:
    entry = DatabaseEntry(fork_id, name, None, "enam", (), "disabled", 1, fork)
    return await system.start_another(entry, base_of)


async def rows(system: ColdSystem, actor: str, database_id: str, bookmark: str = "") -> list[object]:
    answer = await system.query(
        actor, "SELECT n FROM t ORDER BY n", bookmark=bookmark, database_id=database_id
    )
    return [row[0] for row in answer.results[0].rows]


def test_a_fork_begins_as_its_parent_was_and_both_go_on_by_themselves(tmp_path: Path) -> None:
    async def case(system: ColdSystem, primary: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        marks = [
            (await system.query("primary:shop", "INSERT INTO t VALUES (?)", n)).bookmark for n in range(5)
        ]
        await forked(system, primary, marks[2])
        assert await rows(system, "primary:copy", COPY) == [0, 1, 2]
        wrote = await system.query("primary:copy", "INSERT INTO t VALUES (100)", database_id=COPY)
        await system.query("primary:shop", "INSERT INTO t VALUES (5)")
        assert await rows(system, "primary:copy", COPY) == [0, 1, 2, 100]
        assert await rows(system, "primary:shop", system.database_id) == [0, 1, 2, 3, 4, 5]
        with pytest.raises(BookmarkError, match="another database"):
            await rows(system, "primary:copy", COPY, marks[1])
        with pytest.raises(BookmarkError, match="another database"):
            await rows(system, "primary:shop", system.database_id, wrote.bookmark)

    run(tmp_path, case)


STATES: dict[str, tuple[str, ...]] = {
    "all of it is in the WAL": (),
    "all of it is in the file": ("checkpoint",),
    "the WAL began anew": (
        "INSERT INTO t VALUES (2, zeroblob(9000))",
        "checkpoint",
        "DELETE FROM t WHERE n = 1",
    ),
    "page 1 is not in the WAL": ("checkpoint", "UPDATE t SET n = 3"),
    "its end is free": ("INSERT INTO t VALUES (2, zeroblob(90000))", "DELETE FROM t WHERE n = 2"),
}


@pytest.mark.parametrize("steps", STATES.values(), ids=STATES.keys())
def test_a_clone_for_a_fork_is_byte_for_byte_what_cold_storage_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: tuple[str, ...]
) -> None:
    monkeypatch.setattr(limits, "WAL_CHECKPOINT_BYTES", 1 << 40)

    async def case(system: ColdSystem, primary: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER, x BLOB)")
        await system.query("primary:shop", "INSERT INTO t VALUES (1, randomblob(20000))")
        for step in steps:
            if step == "checkpoint":
                await checkpoint(system, primary, monkeypatch)
            else:
                await system.query("primary:shop", step)
        fork = await primary.fork(COPY, "")
        base = fork_base(COPY, Bookmark.parse(fork.bookmark))
        archive = Archive(open_store(system.settings.cold), COPY)
        restore(archive, base, RealFiles(), tmp_path / "restored")
        (clone,) = (tmp_path / "databases" / COPY / "primary").glob("generation-*/database")
        assert clone.read_bytes() == (tmp_path / "restored").read_bytes()

    run(tmp_path, case)


async def checkpoint(system: ColdSystem, primary: Primary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is in the primary's file; the next commit starts its WAL anew."""

    async def done() -> bool:
        return (await primary.status()).wal_bytes == 0

    with monkeypatch.context() as patched:
        patched.setattr(limits, "WAL_CHECKPOINT_BYTES", 1)
        await system.query("primary:shop", "INSERT INTO t VALUES (9, NULL)")
        await until(done)


def test_a_fork_of_now_needs_nothing_from_cold_storage_to_begin_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> Generation:
        raise Unreachable("cold storage", "it was not to be asked")

    async def case(system: ColdSystem, primary: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        wrote = [await system.query("primary:shop", "INSERT INTO t VALUES (?)", n) for n in range(5)]
        fork = await primary.fork(COPY, "")
        assert fork.bookmark == wrote[-1].bookmark
        monkeypatch.setattr(replay, "advance", away)
        copy = await start(system, fork)
        assert await rows(system, "primary:copy", COPY) == [0, 1, 2, 3, 4]
        await system.query("primary:copy", "DELETE FROM t WHERE n < 4", database_id=COPY)
        assert await rows(system, "primary:copy", COPY) == [4]
        assert await rows(system, "primary:shop", system.database_id) == [0, 1, 2, 3, 4]
        assert not (await copy.verify()).problems

    run(tmp_path, case)


@pytest.mark.parametrize("taken", [True, False])
def test_a_clone_that_nobody_takes_goes_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    monkeypatch.setattr(limits, "SEED_SECONDS", 1.0)
    place = tmp_path / "databases" / COPY / "primary"

    async def case(system: ColdSystem, primary: Primary) -> None:
        async def gone() -> bool:
            return not place.exists()

        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        fork = await primary.fork(COPY, "")
        assert place.exists()
        if not taken:
            await until(gone)
        await start(system, fork)
        assert await rows(system, "primary:copy", COPY) == []
        if taken:
            await asyncio.sleep(1.2)
            await system.end("primary:copy")
            Generation.unseed(place)
            assert place.exists()

    run(tmp_path, case)


def test_half_a_clone_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(snapshot: Snapshot, target: Path) -> None:
        target.write_bytes(b"half of it" * 1000)
        raise StorageFull(str(target), "no room")

    monkeypatch.setattr(Snapshot, "clone", full)

    async def case(system: ColdSystem, primary: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        await system.query("primary:shop", "INSERT INTO t VALUES (1)")
        await start(system, await primary.fork(COPY, ""))
        assert await rows(system, "primary:copy", COPY) == [1]

    run(tmp_path, case)


def test_a_fork_of_now_has_what_was_acknowledged_before_and_nothing_of_what_came_after(
    tmp_path: Path,
) -> None:
    async def write(system: ColdSystem) -> None:
        for n in range(200):
            await system.query("primary:shop", "INSERT INTO t VALUES (?)", n)
            acknowledged.append(n)

    acknowledged: list[object] = []

    async def case(system: ColdSystem, primary: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        writing = asyncio.create_task(write(system))
        while len(acknowledged) < 20:
            await asyncio.sleep(0.01)
        before = list(acknowledged)
        fork = await primary.fork(COPY, "")
        await writing  # other connections are closed when another primary starts
        await start(system, fork)
        found = await rows(system, "primary:copy", COPY)
        assert found == list(range(len(found)))
        assert found[: len(before)] == before
        assert len(found) < 200, "all was written before the fork was made"
        assert await rows(system, "primary:copy", COPY) == found
        assert await rows(system, "primary:shop", system.database_id, fork.bookmark) == list(range(200))

    run(tmp_path, case)


def test_a_fork_is_kept_in_cold_storage_by_itself_and_can_be_forked_again(tmp_path: Path) -> None:
    async def case(system: ColdSystem, primary: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        mark = (await system.query("primary:shop", "INSERT INTO t VALUES (1)")).bookmark
        copy = await forked(system, primary, mark)
        wrote = await system.query("primary:copy", "INSERT INTO t VALUES (2)", database_id=COPY)
        await archiving_of(copy).flush(Bookmark.parse(wrote.bookmark))
        assert not (await copy.verify()).problems
        await system.end("primary:shop")
        again = await forked(system, copy, wrote.bookmark, "0000000000000abc", "again")
        assert await rows(system, "primary:again", "0000000000000abc") == [1, 2]
        assert not (await again.verify()).problems

    run(tmp_path, case)


def test_what_is_not_a_place_of_the_parent_cannot_be_forked(tmp_path: Path) -> None:
    async def case(system: ColdSystem, primary: Primary) -> None:
        mark = Bookmark.parse((await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")).bookmark)
        for wrong in (
            msgspec.structs.replace(mark, digest=b"no such one."),
            msgspec.structs.replace(mark, history=b"else"),
            msgspec.structs.replace(mark, sequence=mark.sequence + 100),
        ):
            with pytest.raises(BookmarkError):
                await primary.fork(COPY, str(wrong))

    run(tmp_path, case)


def test_verify_finds_what_cold_storage_would_not_give_back_whatever_is_at_hand(tmp_path: Path) -> None:
    async def case(system: ColdSystem, primary: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        wrote = await system.query("primary:shop", "INSERT INTO t VALUES (1)")
        verified = await primary.verify()
        assert (verified.bookmark, verified.problems) == (wrote.bookmark, ())
        await archiving_of(primary).file(Bookmark.parse(wrote.bookmark))  # a file of that state is here now
        segments = list((system.cold / "databases").rglob("log/*"))
        assert segments
        for segment in segments:
            data = bytearray(segment.read_bytes())
            data[len(data) // 2] ^= 4
            segment.write_bytes(data)
        (problem,) = (await primary.verify()).problems
        assert "cold storage is damaged" in problem

    run(tmp_path, case)


def test_verify_finds_a_page_that_is_not_what_was_written_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copied_wrongly(snapshot: Snapshot, target: Path, copied: Callable[[int], None]) -> None:
        copy(snapshot, target, copied)
        with target.open("r+b") as file:
            file.seek(4096 + 4000)
            file.write(b"x")

    copy = Snapshot.copy

    async def case(system: ColdSystem, primary: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        monkeypatch.setattr(Snapshot, "copy", copied_wrongly)
        assert (await primary.verify()).problems == ("page 2 is not what cold storage gives",)
        assert not list((tmp_path / "primary").glob("verify-*"))

    run(tmp_path, case)


def test_a_fork_lives_on_when_its_parent_is_deleted(tmp_path: Path) -> None:
    async def case(system: ColdSystem, primary: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        mark = (await system.query("primary:shop", "INSERT INTO t VALUES (1)")).bookmark
        copy = await forked(system, primary, mark)
        assert await rows(system, "primary:copy", COPY) == [1]
        await system.end("primary:shop")
        await system.end("primary:copy")
        for index in range(5):
            await system.ask_follower(index, m.Drop(system.database_id))
        shutil.rmtree(system.directory / "databases" / COPY)
        system.forget_connections()
        again = Primary(copy.config, system.settings, system.around)
        system.around.services[again.name] = again
        assert await rows(system, "primary:copy", COPY) == [1]

    run(tmp_path, case)
