"""Databases are deleted on a real Ray node: their files go, their names are free, and nothing brings them back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.cluster.writers import pid_of, send

import raylite
from raylite.actors import handles
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import DatabaseNotFound
from raylite.policies.status import ActorStatus
from raylite.router.background import background


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.1)


async def databases_of(follower: str) -> int:
    """How many databases this follower holds; -1 while it does not say."""
    try:
        found: ActorStatus = await handles.call(follower, "status", seconds=5)
    except raylite.Error:
        return -1
    return found.databases


async def made(name: str, text: str) -> DatabaseEntry:
    database = await raylite.connect_async(name, create=True)
    await database.exec(f"CREATE TABLE t (a); INSERT INTO t VALUES ('{text}')")
    entry: DatabaseEntry = await handles.call("registry", "lookup", name)
    return entry


def test_a_deleted_database_leaves_nothing_and_its_name_is_free(system: Path) -> None:
    async def case() -> None:
        entry = await made("shop", "old")
        folder = system / "databases" / entry.database_id
        pids = [await pid_of(actor) for actor in ("primary:shop", "replica:shop:weur")]
        assert {one.name for one in folder.iterdir()} >= {"primary", "replica-weur"}
        await handles.call("registry", "delete", "shop", seconds=30)
        again = await made("shop", "new")
        assert again.database_id != entry.database_id
        await until(lambda: is_gone(folder, *(Path(f"/proc/{pid}") for pid in pids)))
        there = await raylite.connect_async("shop")
        assert await there.prepare("SELECT a FROM t").first("a") == "new"
        await all_hold_what_there_is()

    background.run(case())


async def is_gone(*paths: Path) -> bool:
    return not any(path.exists() for path in paths)


async def holds(follower: str, count: int) -> None:
    async def so_many() -> bool:
        return await databases_of(follower) == count

    await until(so_many)


async def all_hold_what_there_is() -> int:
    """Waits until each follower holds every database of the catalogue, the catalogue's own too; returns how many."""
    count = 1 + len(await handles.call("registry", "databases", seconds=30))
    for index in range(5):
        await holds(f"follower:{index}", count)
    return count


def test_a_follower_that_was_away_is_told_when_it_is_back_also_by_another_registry(system: Path) -> None:
    async def case() -> None:
        entry = await made("away", "x")
        count = await all_hold_what_there_is()
        stopped = await send("follower:4", signal.SIGSTOP)
        try:
            await handles.call("registry", "delete", "away", seconds=30)
            await send("registry", signal.SIGKILL)
            await holds("follower:3", count - 1)
        finally:
            os.kill(stopped, signal.SIGCONT)
        await holds("follower:4", count - 1)
        await until(lambda: is_gone(system / "databases" / entry.database_id))
        with pytest.raises(DatabaseNotFound):
            await raylite.connect_async("away")

    background.run(case())
