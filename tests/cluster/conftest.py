"""One real Ray node with all of raylite's actors, for all tests that do not start their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

import raylite
from raylite.actors import handles
from raylite.policies.errors import DatabaseNotFound, OutcomeUnknown, Unavailable
from raylite.router.background import background

_numbers = count()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """There can be one system at a time: first come the tests that start their own, then those that share one."""
    here = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    here.sort(key=_shares_the_system)
    items[:] = [item for item in items if item not in here] + here


def _shares_the_system(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and "system" in item.fixturenames


@pytest.fixture(scope="session")
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
    name = f"test-{next(_numbers)}"
    background.run(_repeated(lambda: raylite.connect_async(name, create=True)))
    database = raylite.connect(name)
    database.exec("CREATE TABLE IF NOT EXISTS t (client INTEGER, n INTEGER)")
    yield database
    with contextlib.suppress(DatabaseNotFound):  # an earlier attempt did it after all
        background.run(_repeated(lambda: handles.call("registry", "delete", name, seconds=30)))


async def _repeated(attempt: Callable[[], Awaitable[object]]) -> None:
    """Tries until it works: the registry may just have lost followers to a test, so it has a minute."""
    async with asyncio.timeout(60):
        while True:
            try:
                await attempt()
            except (Unavailable, OutcomeUnknown):
                await asyncio.sleep(0.2)
            else:
                return
