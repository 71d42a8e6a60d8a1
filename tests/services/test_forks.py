"""Forks: a database that begins as another was, from what cold storage has of that. In one process, without Ray."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from tests.services.test_archiving import ColdSystem, archiving_of

from raylite.actors.core import messages as m
from raylite.actors.enlistment import base_of
from raylite.actors.primary import Primary
from raylite.actors.storage.snapshot import Snapshot
from raylite.policies.bookmark import Bookmark
from raylite.policies.catalogue import DatabaseEntry, Fork
from raylite.policies.errors import BookmarkError

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
    fork = Fork("shop", bookmark, await parent.fork(fork_id, bookmark))
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
        shutil.rmtree(system.directory / f"primary-{COPY}")
        system.forget_connections()
        again = Primary(copy.config, system.settings, system.around)
        system.around.services[again.name] = again
        assert await rows(system, "primary:copy", COPY) == [1]

    run(tmp_path, case)
