"""Everything is killed at once, or Ray alone while its actors linger; the next start has all that was acknowledged.

With everything all files go, too, but cold storage and the disks of three followers.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raylite.actors.cluster import ClusterFile, read_cluster_file
from raylite.router.local_cluster import descendants

ROWS = 40
RECORDS = ("system.json", "registry.json", "followers.json", "cluster.json")
"""What every node has a copy of, beside the disk of its follower, and what tells this test how to end a cluster."""
DISKS = ("followers/0", "followers/2", "followers/4")
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


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)


def users_of(temporary: Path) -> list[int]:
    """Processes whose command line names that folder."""
    found: list[int] = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if os.fsencode(temporary) in one.read_bytes():
                found.append(int(one.parent.name))
    return found


def is_ray_itself(pid: int) -> bool:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    return any(name in command.split("\0")[0] or name in command for name in RAY_PROCESSES)


def everything(pids: list[int]) -> list[int]:
    return pids


def ray_alone(pids: list[int]) -> list[int]:
    return [pid for pid in pids if is_ray_itself(pid)]


def keep(directory: Path, *kept: str) -> None:
    """Of all files only these are left, and what is in these folders."""
    for path in sorted(directory.rglob("*"), reverse=True):  # what is in a folder before the folder
        name = str(path.relative_to(directory))
        if path.is_file() and not any(name == one or name.startswith(f"{one}/") for one in kept):
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


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
    before = Path(cluster_of(directory).temp_dir)
    chosen = victims(family(directory))
    assert chosen
    kill(chosen)
    if victims is everything:
        while late := users_of(before):  # started while the others were killed
            kill(late)
        keep(directory, "cold", *RECORDS, *DISKS)
    raylite(directory, "up")
    assert victims is ray_alone or not before.exists(), "nobody has used it any more"
    for region in ("enam", "weur"):
        sql = "SELECT count(*) AS rows, sum(n) AS total FROM t"
        found = raylite(
            directory, "execute", "shop", "--command", sql, "--session", "first-unconstrained", "--region", region,
        )  # fmt: skip
        assert isinstance(found, list)
        assert found[0]["results"] == [{"rows": ROWS, "total": ROWS * (ROWS - 1) // 2}]
