"""Everything is killed at once, or Ray alone while its actors linger; the next start has all that was acknowledged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from raylite.actors.cluster import ClusterFile, read_cluster_file
from raylite.actors.cold.archive import Archive
from raylite.actors.cold.folder import open_store
from raylite.actors.cold.restore import restore
from raylite.actors.founding import DataDirectory
from raylite.actors.storage.files import RealFiles
from raylite.router.local_cluster import descendants, remove_left_over

ROWS = 40
RAY_PROCESSES = ("gcs_server", "raylet", "ray.scripts")


def raylite(directory: Path, *arguments: str) -> object:
    """What a command prints as JSON."""
    command = [sys.executable, "-m", "raylite.router.cli", *arguments, "--json", "--data", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def cluster_of(directory: Path) -> ClusterFile:
    found = read_cluster_file(directory)
    assert found is not None
    return found


def family(directory: Path) -> list[int]:
    return [one for pid in cluster_of(directory).pids for one in (pid, *descendants(pid))]


def is_ray_itself(pid: int) -> bool:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    return any(name in command.split("\0")[0] or name in command for name in RAY_PROCESSES)


def everything(pids: list[int]) -> list[int]:
    return pids


def ray_alone(pids: list[int]) -> list[int]:
    return [pid for pid in pids if is_ray_itself(pid)]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    raylite(tmp_path, "up")
    yield tmp_path
    temporary = Path(cluster_of(tmp_path).temp_dir)
    assert temporary.is_dir()
    raylite(tmp_path, "down")
    assert not temporary.exists()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("victims", [everything, ray_alone])
def test_the_next_start_has_all_that_was_acknowledged(
    directory: Path, victims: Callable[[list[int]], list[int]]
) -> None:
    script = "CREATE TABLE t (n INTEGER);" + "".join(f"INSERT INTO t VALUES ({n});" for n in range(ROWS))
    raylite(directory, "execute", "shop", "--command", script)
    chosen = victims(family(directory))
    assert chosen
    for pid in chosen:
        os.kill(pid, signal.SIGKILL)
    before = Path(cluster_of(directory).temp_dir)
    raylite(directory, "up")
    assert victims is ray_alone or not before.exists(), "nobody has used it any more"
    for region in ("enam", "weur"):
        sql = "SELECT count(*) AS rows, sum(n) AS total FROM t"
        found = raylite(
            directory, "execute", "shop", "--command", sql, "--session", "first-unconstrained", "--region", region,
        )  # fmt: skip
        assert isinstance(found, list)
        assert found[0]["results"] == [{"rows": ROWS, "total": ROWS * (ROWS - 1) // 2}]


def rows(directory: Path) -> object:
    """What the primary says is in the table."""
    found: Any = raylite(directory, "execute", "shop", "--command", "SELECT n FROM t ORDER BY n")
    return [one["n"] for one in found[0]["results"]]


def lose(directory: Path, *kept: str) -> None:
    """Every actor, and every local file but these."""
    before = cluster_of(directory).temp_dir
    for pid in family(directory):
        os.kill(pid, signal.SIGKILL)
    for path in directory.rglob("*"):
        name = str(path.relative_to(directory))
        if path.is_file() and not any(name == one or name.startswith(f"{one}/") for one in kept):
            path.unlink()
    for path in (directory / "followers").iterdir():
        if f"followers/{path.name}" not in kept:
            shutil.rmtree(path)
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
def test_cold_storage_and_three_disks_have_everything_and_cold_storage_alone_all_that_was_uploaded(
    directory: Path,
) -> None:
    script = "CREATE TABLE t (n INTEGER);" + "".join(f"INSERT INTO t VALUES ({n});" for n in range(ROWS))
    raylite(directory, "execute", "shop", "--command", script)
    disks = ("followers/0", "followers/2", "followers/4")
    lose(directory, "cold", "system.json", "registry.json", "followers.json", *disks)
    raylite(directory, "up")
    assert rows(directory) == list(range(ROWS))
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
