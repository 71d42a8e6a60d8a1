"""A database that nobody uses has no processes on a real Ray node, and the next query finds all that it had."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.writers import pid_of

import raylite
from raylite.actors import handles
from raylite.policies.status import Overview
from raylite.router import api
from raylite.router.background import background

ACTORS = ["primary:shop", *(f"replica:shop:{region}" for region in ("enam", "weur", "apac"))]


@pytest.fixture(scope="module", autouse=True)
def hibernating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A system of its own, whose databases fall asleep soon."""
    raylite.init(data_dir=tmp_path_factory.mktemp("hibernating"), hibernate=2)
    yield
    raylite.shutdown()


async def asleep() -> bool:
    """Whether the one database is."""
    overview: Overview = await handles.call("registry", "overview", seconds=20)
    return overview.asleep == 1


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def until_asleep(pids: list[int]) -> None:
    async with asyncio.timeout(40):
        while not await asleep() or any(map(is_running, pids)):
            await asyncio.sleep(0.2)


def test_a_database_that_nobody_uses_sleeps_and_wakes_with_all_that_it_had() -> None:
    async def case() -> None:
        database = await raylite.connect_async("shop", create=True)
        assert await asleep()  # nobody has used it yet
        session = database.with_session()
        await session.prepare("CREATE TABLE t (a)").run()
        for round_ in range(2):
            await session.prepare("INSERT INTO t VALUES (?)").bind(round_).run()
            assert not await asleep()
            await until_asleep([await pid_of(actor) for actor in ACTORS])
            assert (await database.info()).asleep
            assert await asleep()  # to ask how it is wakes nobody
            began = time.monotonic()
            read = database.with_session(session.bookmark)
            assert await read.prepare("SELECT a FROM t ORDER BY a").raw() == [[n] for n in range(round_ + 1)]
            print(f"woken and read in {time.monotonic() - began:.2f} s")
        span = await database.span()
        assert span.newest >= session.bookmark

    background.run(case())


def test_many_that_are_woken_at_once_all_answer() -> None:
    async def case() -> None:
        names = [f"shop-{number}" for number in range(6)]
        await asyncio.gather(*(api.create_database(name, replication="disabled") for name in names))

        async def use(name: str) -> None:
            database = await raylite.connect_async(name)
            await database.prepare("CREATE TABLE t (a)").run(timeout=60)

        began = time.monotonic()
        await asyncio.gather(*map(use, names))
        print(f"{len(names)} woken in {time.monotonic() - began:.1f} s")

    background.run(case())
