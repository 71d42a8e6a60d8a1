"""A local system on raylite's background loop, so that what waits for answers can use it: drivers, dialects, pandas."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.services.driver import Driver
from tests.services.local_system import LocalSystem
from tests.services.test_archiving import ColdSystem

from raylite.policies import limits
from raylite.router.background import background
from raylite.router.sync import Database

T = TypeVar("T")
DROPS = """
    SELECT format('DROP %s "%w"', type, name) FROM sqlite_schema
    WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite~_%' ESCAPE '~'
"""


class PythonSystem:
    """A running system, with replicas in weur and apac; its database has no tables."""

    def __init__(self, directory: Path, *, cold: bool) -> None:
        system = ColdSystem(directory) if cold else LocalSystem(directory)
        if isinstance(system, ColdSystem):
            system.claim()
        self.system = system
        self.drivers: list[Driver] = []

    async def start(self) -> None:
        await self.system.start()
        self.system.start_primary()
        for region in ("weur", "apac"):
            self.system.start_replica(region)
        await self.system.query("primary:shop", "SELECT 1")

    def run(self, work: Callable[[], Coroutine[object, object, T]]) -> T:
        return background.run(work(), limits.START_SECONDS)

    def database(self, region: str = "weur") -> Database:
        """A driver's in that region."""

        async def make() -> Database:
            self.drivers.append(Driver(self.system, region))
            return Database(self.drivers[-1].database())

        return self.run(make)

    async def stop(self) -> None:
        for one in self.drivers:
            await one.close()
        await self.system.stop()

    def empty(self) -> None:
        """Drops whatever tests have made."""
        database = self.database()
        drops = [database.prepare(str(sql)) for (sql,) in database.prepare(DROPS).raw()]
        if drops:
            database.batch([database.prepare("PRAGMA defer_foreign_keys = ON"), *drops])


@contextmanager
def python_system(*, cold: bool = False) -> Generator[PythonSystem]:
    with tempfile.TemporaryDirectory(prefix="raylite-python") as directory:
        made = PythonSystem(Path(directory), cold=cold)
        made.run(made.start)
        try:
            yield made
        finally:
            made.run(made.stop)
