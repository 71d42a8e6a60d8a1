"""How long a fork of a large database takes, until it can be read and written, beside a copy of the file.

The parent is imported from a file of rows that compress as text does, and is in cold storage whole before it is
forked; what that takes is printed too. Nothing else is asked of the system meanwhile.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

import raylite

ROW_BYTES = 400
CALM_SECONDS = 4.0
CALM_SHARE = 0.35
LIMIT_SECONDS = 1800.0
"""Nothing that is waited for here takes longer."""
console = Console()


def make_file(path: Path, megabytes: int) -> None:
    """A SQLite file of about so many MB: rows of hexadecimal digits."""
    rows = megabytes * 1_000_000 // ROW_BYTES
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            f" INSERT INTO t SELECT i, hex(randomblob({ROW_BYTES // 2})) FROM n",
            (rows,),
        )
    connection.close()


def seconds(work: Callable[[], object]) -> float:
    """What it takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def copy_seconds(path: Path) -> float:
    """A copy of the file, synced: the least that anything which copies can take."""
    copy = path.with_suffix(".copy")

    def work() -> None:
        shutil.copyfile(path, copy)
        with open(copy, "rb") as file:
            os.fsync(file.fileno())

    taken = statistics.median(seconds(work) for _ in range(3))
    copy.unlink()
    return taken


def total(database: raylite.Database) -> int:
    """The number of rows, by the primary."""
    rows = database.prepare("SELECT count(*) FROM t").raw(timeout=LIMIT_SECONDS)
    return int(str(rows[0][0]))


def fork(parent: raylite.Database, name: str, copied: float) -> None:
    """Forks it, prints how long that took, and sees that both go on by themselves."""
    rows = total(parent)
    forks: list[raylite.Database] = []
    made = seconds(lambda: forks.append(parent.fork(name)))
    answered = made + seconds(lambda: total(forks[0]))
    written = answered + seconds(forks[0].prepare("DELETE FROM t WHERE a <= 10").run)
    assert (total(parent), total(forks[0])) == (rows, rows - 10), "they are not what they must be"
    console.print(
        f"{name}: made after {made:.1f} s, read whole after {answered:.1f} s, written to after {written:.1f} s; "
        f"{answered / copied:.1f} times a copy"
    )


def measure(folder: Path, megabytes: int, forks: int) -> None:
    """Prints each figure as it is known."""
    file = folder / "parent.db"
    make_file(file, megabytes)
    copied = copy_seconds(file)
    console.print(f"{file.stat().st_size / 1e6:.0f} MB; a copy, synced: {copied:.1f} s")
    parent = raylite.connect("bench", create=True)
    console.print(f"imported after {seconds(lambda: parent.import_file(file, timeout=LIMIT_SECONDS)):.1f} s")
    console.print(f"in cold storage after {seconds(lambda: until_held(parent)):.1f} s more")
    for number in range(forks):
        until_calm()
        fork(parent, f"fork-{number}", copied)


def until_held(database: raylite.Database) -> None:
    """Waits until cold storage has all of it."""
    until = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < until:
        try:
            database.span()
        except raylite.Error:
            time.sleep(1)
        else:
            return
    raise TimeoutError("it is not in cold storage")


def until_calm() -> None:
    """Waits until the machine has been mostly idle for a few seconds: replicas and snapshots are made then."""
    until = time.monotonic() + LIMIT_SECONDS
    while busy_share(CALM_SECONDS) > CALM_SHARE:
        if time.monotonic() > until:
            raise TimeoutError("the machine does not become idle")


def busy_share(duration: float) -> float:
    """How busy all processors are in the next seconds, from 0 to 1."""
    before = _processor_ticks()
    time.sleep(duration)
    idle, total = (after - was for was, after in zip(before, _processor_ticks(), strict=True))
    return 1 - idle / total


def _processor_ticks() -> tuple[int, int]:
    """Idle ones, waits for disks not among them, and all; see proc_stat(5)."""
    ticks = [int(one) for one in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[3], sum(ticks)


def main() -> None:
    """Measures on a system of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--forks", type=int, default=3)
    chosen = parser.parse_args()
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="raylite-bench-") as folder:
        (Path(folder) / "data").mkdir()
        raylite.init(data_dir=str(Path(folder) / "data"))
        try:
            measure(Path(folder), chosen.megabytes, chosen.forks)
        finally:
            raylite.shutdown()
    console.print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
