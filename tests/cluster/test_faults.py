"""Processes are killed and stopped under load; nothing acknowledged is lost, and nothing hangs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import statistics
import time
from collections.abc import Awaitable, Callable

import pytest
from tests.cluster.writers import Writers, pid_of, send

import raylite
from raylite.actors import handles
from raylite.policies.status import CopyCheck
from raylite.router.background import background

KILLS = int(os.environ.get("RAYLITE_KILLS", "3"))

Case = Callable[[raylite.AsyncDatabase, Writers], Awaitable[None]]


def under_load(database: raylite.Database, case: Case) -> Writers:
    """Runs a case while clients write, then checks what is there and that all copies agree; returns the clients."""

    async def main() -> Writers:
        here = await raylite.connect_async(database.name)
        writers = Writers(here)
        try:
            await writers.acknowledges_after(time.monotonic(), 20)
            await case(here, writers)
            await writers.acknowledges_after(time.monotonic(), 20)
        finally:
            await writers.stop()
        await writers.check()
        await copies_agree(here)
        return writers

    return background.run(main())


async def copies_agree(database: raylite.AsyncDatabase) -> None:
    """Every copy is whole, at one bookmark and of the same pages, within half a minute."""
    async with asyncio.timeout(30):
        while True:
            actors = [one.actor for one in (await database.info()).actors]
            asked = [handles.call(actor, "check", seconds=10) for actor in actors]
            found = await asyncio.gather(*asked, return_exceptions=True)
            copies = [one for one in found if isinstance(one, CopyCheck) and not one.problems]
            if len(copies) == 4 and len({(one.bookmark, one.digest) for one in copies}) == 1:
                return
            await asyncio.sleep(0.2)


def test_two_stopped_followers_hold_nothing_up_and_a_third_is_reported(database: raylite.Database) -> None:
    async def case(here: raylite.AsyncDatabase, writers: Writers) -> None:
        for index in range(2):
            await send(f"follower:{index}", signal.SIGSTOP)
        try:
            await asyncio.sleep(1)
            await writers.acknowledges_after(time.monotonic(), 5)
            await send("follower:2", signal.SIGSTOP)
            await asyncio.sleep(2)
            began = time.monotonic()
            with pytest.raises(raylite.Error, match="followers"):
                await here.prepare("INSERT INTO t VALUES (-1, -1)").run()
            assert time.monotonic() - began < 15
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)

    stopped = [background.run(pid_of(f"follower:{index}")) for index in range(3)]
    under_load(database, case)


def test_three_killed_followers_are_at_most_a_pause(database: raylite.Database) -> None:
    async def case(here: raylite.AsyncDatabase, writers: Writers) -> None:
        for index in range(3):
            await send(f"follower:{index}", signal.SIGKILL)
        await writers.acknowledges_after(time.monotonic(), 20)

    under_load(database, case)


def test_a_killed_primary_comes_back_by_itself_and_every_write_has_its_outcome(
    database: raylite.Database,
) -> None:
    pauses: list[float] = []

    async def case(here: raylite.AsyncDatabase, writers: Writers) -> None:
        for _ in range(KILLS):
            await send(f"primary:{database.name}", signal.SIGKILL)
            pauses.append(await writers.acknowledges_after(time.monotonic() + 0.05, 30))
            await asyncio.sleep(0.5)

    writers = under_load(database, case)
    print(f"{KILLS} kills, {len(writers.acknowledged)} acknowledged, {len(writers.unknown)} unknown")
    print(f"pause: median {statistics.median(pauses):.2f} s, longest {max(pauses):.2f} s")
    assert not writers.unknown


def test_a_stopped_primary_is_replaced_and_never_answers_stale(database: raylite.Database) -> None:
    async def case(here: raylite.AsyncDatabase, writers: Writers) -> None:
        name = f"primary:{database.name}"
        old = await send(name, signal.SIGSTOP)
        await writers.acknowledges_after(time.monotonic() + 0.5, 40)
        confirmed = here.with_session("first-primary")
        await confirmed.prepare("SELECT count(*) FROM t").all()
        with contextlib.suppress(ProcessLookupError):
            os.kill(old, signal.SIGCONT)
        for _ in range(20):
            again = here.with_session("first-primary")
            await again.prepare("SELECT count(*) FROM t").all()
            assert again.bookmark >= confirmed.bookmark
        assert await pid_of(name) != old

    under_load(database, case)


def test_a_killed_replica_catches_up(database: raylite.Database) -> None:
    async def case(here: raylite.AsyncDatabase, writers: Writers) -> None:
        await send(f"replica:{database.name}:weur", signal.SIGKILL)
        await writers.acknowledges_after(time.monotonic(), 20)

    under_load(database, case)


def test_a_killed_registry_is_on_no_querys_path(database: raylite.Database) -> None:
    async def case(here: raylite.AsyncDatabase, writers: Writers) -> None:
        await send("registry", signal.SIGKILL)
        await writers.acknowledges_after(time.monotonic(), 2)
        again = await raylite.connect_async(database.name)
        await again.prepare("SELECT 1").all()

    under_load(database, case)
