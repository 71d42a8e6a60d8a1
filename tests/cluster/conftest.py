"""One real Ray node with all of raylite's actors, for the tests of a module."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

import raylite
from raylite.actors import handles
from raylite.router.sync import background

_numbers = count()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running system's data directory."""
    directory = tmp_path_factory.mktemp("system")
    raylite.init(data_dir=directory)
    yield directory
    raylite.shutdown()


@pytest.fixture
def database(system: Path) -> Iterator[raylite.Database]:
    """A new database with an empty table `t`, deleted afterwards."""
    yield from make_database()


def make_database() -> Iterator[raylite.Database]:
    """For fixtures of other scopes."""
    database = raylite.connect(f"test-{next(_numbers)}", create=True)
    database.exec("CREATE TABLE t (client INTEGER, n INTEGER)")
    yield database
    background.run(_delete(database.name))


async def _delete(name: str) -> None:
    """Deletes a database; the registry may just have lost followers to a test, so it has half a minute."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(raylite.Error):
                await handles.call("registry", "delete", name)
                return
            await asyncio.sleep(0.2)
