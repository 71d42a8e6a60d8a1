"""One real Ray node with all of raylite's actors, for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import raylite
from raylite.policies.errors import Error


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running system's data directory."""
    directory = tmp_path_factory.mktemp("system")
    raylite.init(data_dir=directory)
    yield directory
    raylite.shutdown()


@pytest.fixture
def database(system: Path, request: pytest.FixtureRequest) -> raylite.Database:
    """A new database with an empty table `t`."""
    name = request.node.name.partition("[")[0][-60:]
    database = raylite.connect(name, create=True)
    database.exec("CREATE TABLE IF NOT EXISTS t (client INTEGER, n INTEGER)")
    return database


__all__ = ["Error", "database", "system"]
