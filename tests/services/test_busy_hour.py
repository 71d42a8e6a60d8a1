"""Time travel to many moments of a busy hour, beside a model of what was there. One process, a simulated clock."""

from __future__ import annotations

import asyncio
import os
import random
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from tests.services.driver import Driver
from tests.services.test_archiving import ColdSystem, archiving_of
from tests.services.test_trimming import restarted

from raylite.actors import primary as primaries
from raylite.actors.cold.archive import Held
from raylite.actors.primary import Primary
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.router.client import AsyncDatabase
from raylite.router.statements import AsyncPast, AsyncStatement

SEEDS = [int(seed) for seed in os.environ.get("RAYLITE_HOURS", "1").split()]
MOMENTS = 100
WRITES = 400
HOUR = 3600.0
BEGIN = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)

Rows = dict[int, str]
"""What the table holds: text by key."""


class State(msgspec.Struct, frozen=True):
    """What the database is from `time` on, until the next one. time: that of its entry."""

    time: datetime
    bookmark: str
    rows: Rows


class Hour:
    """A database in use, its wall clock, and every state that it was in. `states` is in the order of entries."""

    def __init__(self, system: ColdSystem, database: AsyncDatabase, chance: random.Random) -> None:
        self._system, self._database, self._chance = system, database, chance
        self._session = database.with_session("first-primary")
        self.now = BEGIN
        self.states: list[State] = []
        self.primary: Primary = system.start_primary()

    def wall_us(self) -> int:
        return (self.now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

    async def pass_by(self) -> None:
        """An hour of writes, now and then a restore to an earlier state, a primary that is lost, a clock set back."""
        await self._session.prepare("CREATE TABLE t (k INTEGER PRIMARY KEY, x TEXT)").run()
        self._became(self._session.bookmark, {})
        for number in range(WRITES):
            self.now += timedelta(seconds=self._chance.expovariate(WRITES / HOUR))
            await self._write(number)
            if self._chance.random() < 0.1:
                await archiving_of(self.primary).flush(Bookmark.parse(self.states[-1].bookmark))
            if number % 100 == 50:
                self.primary = await restarted(self._system, f"primary-{number}")
            if number % 90 == 80:
                self.now -= timedelta(minutes=2)
            if number % 130 == 120:
                await self._go_back()

    async def _write(self, number: int) -> None:
        rows = dict(self.states[-1].rows)
        kind = self._chance.choice(("insert", "insert", "insert", "update", "delete", "batch"))
        text = self._chance.randbytes(self._chance.choice((10, 100, 20_000))).hex()
        statements: list[AsyncStatement] = []
        if kind in ("insert", "batch"):
            rows[number] = text
            statements.append(self._session.prepare("INSERT INTO t VALUES (?, ?)").bind(number, text))
        if kind in ("update", "batch"):
            rows = {key: text if key % 3 == number % 3 else one for key, one in rows.items()}
            update = self._session.prepare("UPDATE t SET x = ? WHERE k % 3 = ?")
            statements.append(update.bind(text, number % 3))
        if kind == "delete":
            rows = {key: one for key, one in rows.items() if key % 7 != number % 7}
            statements.append(self._session.prepare("DELETE FROM t WHERE k % 7 = ?").bind(number % 7))
        await self._session.batch(statements)
        self._became(self._session.bookmark, rows)

    async def _go_back(self) -> None:
        goal = self._chance.choice(self.states)
        restored = await self._database.restore(goal.bookmark)
        self._became(restored.bookmark, goal.rows)

    def _became(self, bookmark: str, rows: Rows) -> None:
        newest = self.states[-1] if self.states else State(self.now, "", {})
        if bookmark != newest.bookmark:  # else it changed nothing, and is no entry
            self.states.append(State(max(newest.time, self.now), bookmark, rows))


async def rows_of(past: AsyncPast) -> Rows:
    return {int(str(key)): str(text) for key, text in await past.prepare("SELECT k, x FROM t").raw()}


async def check_bookmarks(database: AsyncDatabase, states: list[State]) -> None:
    for state in states:
        assert await rows_of(await database.at(state.bookmark)) == state.rows, state.bookmark


async def check_times(database: AsyncDatabase, hour: Hour, times: list[datetime]) -> None:
    entries = [state.time for state in hour.states]
    for time in times:
        expected = bisect_right(entries, time) - 1
        past = await database.at(time)
        assert await rows_of(past) == hour.states[expected].rows, time
        assert hour.states[expected].bookmark <= past.bookmark, time
        assert past.bookmark < hour.states[expected + 1].bookmark, time


@pytest.fixture(autouse=True)
def many_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hour takes seconds: cold storage is kept in order as often, and followers forget what it has."""
    monkeypatch.setattr(limits, "COLD_KEEP_SECONDS", 0.2)
    monkeypatch.setattr(limits, "COLD_TRIM_SECONDS", 0.5)
    monkeypatch.setattr(Held.wants_snapshot, "__defaults__", (1 << 20, 20))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_moment_of_a_busy_hour_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)

    async def main() -> None:
        system = ColdSystem(tmp_path)
        system.claim()
        await system.start()
        driver = Driver(system)
        try:
            hour = Hour(system, driver.database(), chance)
            monkeypatch.setattr(primaries, "wall_us", hour.wall_us)
            await hour.pass_by()
            await look_back(system, driver.database(), hour)
        finally:
            await driver.close()
            await system.stop()

    async def look_back(system: ColdSystem, database: AsyncDatabase, hour: Hour) -> None:
        half = MOMENTS // 2
        await check_bookmarks(database, chance.sample(hour.states, half))
        passed = (hour.states[-2].time - BEGIN).total_seconds()
        times = [BEGIN + timedelta(seconds=chance.uniform(0, passed)) for _ in range(half - 10)]
        exact = [state.time for state in chance.sample(hour.states[:-1], 10)]
        await check_times(database, hour, [*times, *exact])
        assert len(system.archive().snapshots()) > 2
        assert len(system.archive().segments()) > 20
        assert not (await database.verify()).problems

    asyncio.run(main())
