"""Campaigns one after the other, each with a seed of its own: `python -m tests.chaos --seed 1 --minutes 10`."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from tests.chaos import inside
from tests.chaos.campaign import Grounds, Report, run

import raylite
from raylite.actors import handles
from raylite.actors.cluster import read_cluster_file
from raylite.router.background import background

DELETE_SECONDS = 60.0


def main() -> None:
    """Runs them on a system of its own; exit status 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the first campaign")
    parser.add_argument("--minutes", type=float, default=10.0, help="begin no more after so long")
    parser.add_argument("--seconds", type=float, default=60.0, help="of faults in each campaign")
    parser.add_argument("--histories", type=Path, help="folder for histories, a new one unless given")
    given = parser.parse_args()
    console = Console(soft_wrap=True, highlight=False)
    reports: list[Report] = []
    histories = (given.histories or Path(tempfile.mkdtemp(prefix="raylite-histories-"))).resolve()
    histories.mkdir(parents=True, exist_ok=True)
    with ExitStack() as undo:
        grounds = _system(histories, undo)
        until = time.monotonic() + 60 * given.minutes
        while not reports or time.monotonic() < until:
            reports.append(campaign(given.seed + len(reports), given.seconds, grounds, console))
    broken = sum(len(one.violations) for one in reports)
    console.print(f"{len(reports)} campaigns, {broken} violations")
    sys.exit(1 if broken else 0)


def _system(histories: Path, undo: ExitStack) -> Grounds:
    """A running system whose actors meet rules; it ends with `undo`."""
    data, rules = (
        Path(undo.enter_context(tempfile.TemporaryDirectory(prefix=f"raylite-chaos-{kind}-")))
        for kind in ("data", "rules")
    )
    os.environ.update(inside.environment(rules))
    inside.install_in_driver(rules, undo)
    undo.callback(raylite.shutdown)
    raylite.init(data_dir=data)
    return Grounds(data.resolve(), rules, histories)


def campaign(seed: int, seconds: float, grounds: Grounds, console: Console) -> Report:
    """One, with what happened in it. Its database is deleted unless something was wrong with it."""
    name = f"chaos-{seed}"
    database = raylite.connect(name, create=True)
    database.exec("CREATE TABLE t (client INTEGER, n INTEGER)")
    report = background.run(run(name, seed, seconds, grounds, console.print), None)
    console.print(f"seed {seed}: {report.seconds:.0f} s, {report.faults}, {report.outcomes}")
    console.print(f"history: {report.history}")
    for one in report.violations:
        console.print(f"VIOLATION {one}", style="red")
    if report.violations:
        console.print(f"logs of its actors: {_keep_logs(grounds, name)}")
    else:
        background.run(handles.call("registry", "delete", name, seconds=DELETE_SECONDS), None)
    return report


def _keep_logs(grounds: Grounds, name: str) -> Path:
    """Copies what all processes of the system have logged beside the histories; returns where to."""
    running, kept = read_cluster_file(grounds.data), grounds.histories / f"{name}-logs"
    assert running is not None, "the system still runs"
    logs = Path(running.temp_dir) / "session_latest" / "logs"
    shutil.copytree(logs, kept, symlinks=True, ignore_dangling_symlinks=True, dirs_exist_ok=True)
    return kept


if __name__ == "__main__":
    main()
