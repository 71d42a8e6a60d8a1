"""Actors that hang without dying: Ray takes them for running, so whoever misses them has them replaced."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

from tests.cluster.test_faults import under_load
from tests.cluster.writers import Writers, pid_of, send

import raylite
from raylite.actors import handles, ray_calls
from raylite.router.background import background

REGISTRY_BACK_SECONDS = 30
"""So long after the registry hangs a database can be created again, at the latest (docs/operations.md)."""


def wake(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


async def names() -> set[str]:
    return {entry.name for entry in await handles.call("registry", "databases", seconds=30)}


async def has_another_process(actor: str, old: int, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while await pid_of(actor) == old:
            await asyncio.sleep(0.1)


def test_a_registry_that_hangs_is_replaced_and_does_no_harm_when_it_wakes(database: raylite.Database) -> None:
    async def case(here: raylite.AsyncDatabase, writers: Writers) -> None:
        began = time.monotonic()
        old = await send("registry", signal.SIGSTOP)
        try:
            await writers.acknowledges_after(time.monotonic() + 1, 2)
            made = await raylite.connect_async("made-without-it", create=True)
            took = time.monotonic() - began
            print(f"a database was created {took:.1f} s after the registry was stopped")
            assert took < REGISTRY_BACK_SECONDS
            await made.exec("CREATE TABLE t (n INTEGER)")
            new = await pid_of("registry")
            assert new != old
        finally:
            wake(old)
        await raylite.connect_async("made-after-it", create=True)
        assert {"made-without-it", "made-after-it", here.name} <= await names()
        assert await pid_of("registry") == new
        assert (await made.prepare("SELECT count(*) AS n FROM t").first("n")) == 0

    under_load(database, case)


def test_a_registry_that_nobody_asks_is_missed_by_its_followers(database: raylite.Database) -> None:
    async def case() -> None:
        old = await send("registry", signal.SIGSTOP)
        try:
            await has_another_process("registry", old, REGISTRY_BACK_SECONDS)
        finally:
            wake(old)

    background.run(case())


def test_a_routing_actor_that_hangs_is_replaced_and_gets_the_table(database: raylite.Database) -> None:
    async def case() -> None:
        async with asyncio.timeout(60):
            before = await handles.call("routing", "published")
            stopped = ray_calls.find("routing")
            pid = await handles.call("routing", "pid")
            os.kill(pid, signal.SIGSTOP)
            try:
                while await published() <= before:
                    await asyncio.sleep(0.2)
            finally:
                wake(pid)
            assert ray_calls.find("routing") != stopped
        again = await raylite.connect_async(database.name)
        assert await again.prepare("SELECT 1 AS one").first("one") == 1

    background.run(case())


async def published() -> int:
    try:
        version: int = await handles.call("routing", "published", seconds=2)
    except raylite.Error:
        return -1
    return version


def test_a_replica_that_hangs_gets_no_queries_and_is_replaced(database: raylite.Database) -> None:
    async def case(here: raylite.AsyncDatabase, writers: Writers) -> None:
        actor = f"replica:{database.name}:enam"
        old = await send(actor, signal.SIGSTOP)
        try:
            async with asyncio.timeout(20):
                while (await served_by(here)) == actor:
                    await asyncio.sleep(0.2)
            await has_another_process(actor, old, 60)
        finally:
            wake(old)

    under_load(database, case)


async def served_by(database: raylite.AsyncDatabase) -> str:
    """Who answers a new session, and does so without waiting for a dead one first."""
    found = await database.with_session().prepare("SELECT 1").all()
    return found.meta.served_by if found.meta.total_attempts == 1 else f"replica:{database.name}:enam"
