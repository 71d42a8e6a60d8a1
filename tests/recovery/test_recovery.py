"""Everything is lost but cold storage, on a real Ray node. It takes a minute or two: `just recovery`."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.test_restart import cluster_of, family, keep, raylite

from raylite.actors.cold.archive import Archive
from raylite.actors.cold.folder import open_store
from raylite.actors.cold.restore import restore
from raylite.actors.founding import DataDirectory
from raylite.actors.storage.files import RealFiles
from raylite.router.local_cluster import remove_left_over

ROWS = 40


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    raylite(tmp_path, "up")
    yield tmp_path
    raylite(tmp_path, "down")


def rows(directory: Path) -> object:
    """What the primary says is in the table."""
    found: Any = raylite(directory, "execute", "shop", "--command", "SELECT n FROM t ORDER BY n")
    return [one["n"] for one in found[0]["results"]]


def lose(directory: Path, *kept: str) -> None:
    """Every actor, and every local file but these."""
    before = cluster_of(directory).temp_dir
    for pid in family(directory):
        os.kill(pid, signal.SIGKILL)
    keep(directory, *kept)
    remove_left_over(before, 15.0)


def catalogue_is_uploaded(directory: Path) -> None:
    """Returns once cold storage alone gives a catalogue that names the database."""
    record = DataDirectory(directory).holding().record
    assert record is not None
    archive = Archive(open_store(str(directory / "cold")), record.registry_id)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        held = archive.held()
        if held is not None:
            restore(archive, held.newest.bookmark, RealFiles(), directory / "catalogue")
            with closing(sqlite3.connect(f"file:{directory}/catalogue?immutable=1", uri=True)) as connection:
                query = "SELECT count(*) FROM sqlite_schema WHERE name = 'databases'"
                if connection.execute(query).fetchone()[0]:
                    names = connection.execute("SELECT name FROM databases WHERE members IS NOT NULL")
                    if names.fetchall() == [("shop",)]:
                        return
        time.sleep(0.5)
    raise AssertionError("it is not there within a minute")


@pytest.mark.timeout(400)
def test_cold_storage_alone_has_all_that_was_uploaded_and_it_is_said_up_to_where(directory: Path) -> None:
    script = "CREATE TABLE t (n INTEGER);" + "".join(f"INSERT INTO t VALUES ({n});" for n in range(ROWS))
    raylite(directory, "execute", "shop", "--command", script)
    verified: Any = raylite(directory, "verify", "shop")  # which uploads all that there is first
    catalogue_is_uploaded(directory)
    lose(directory, "cold")
    recovered: Any = raylite(directory, "recover")
    catalogue, shop = recovered["databases"]
    assert (catalogue["name"], shop["name"], shop["problem"]) == ("_registry", "shop", "")
    assert shop["bookmark"] == verified["bookmark"]
    assert recovered["unnamed"] == []
    assert rows(directory) == list(range(ROWS))
    again: Any = raylite(directory, "recover")
    assert again["databases"] == recovered["databases"], "it is said again, and not done again"
    raylite(directory, "execute", "shop", "--command", f"INSERT INTO t VALUES ({ROWS})")
    lose(directory, "cold", "system.json", "registry.json", "followers.json", "followers")
    raylite(directory, "up")
    assert rows(directory) == list(range(ROWS + 1))
