"""Campaigns one after the other, each with a seed of its own: `python -m tests.chaos --seed 1 --minutes 10`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time

from rich.console import Console
from tests.chaos.campaign import Report, run

import raylite
from raylite.router.background import background


def main() -> None:
    """Runs them on a system of its own; exit status 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the first campaign")
    parser.add_argument("--minutes", type=float, default=10.0, help="begin no more after so long")
    parser.add_argument("--seconds", type=float, default=60.0, help="of faults in each campaign")
    given = parser.parse_args()
    console = Console(soft_wrap=True, highlight=False)
    reports: list[Report] = []
    until = time.monotonic() + 60 * given.minutes
    with tempfile.TemporaryDirectory(prefix="raylite-chaos-") as folder:
        raylite.init(data_dir=folder)
        try:
            while time.monotonic() < until:
                reports.append(campaign(given.seed + len(reports), given.seconds, console))
        finally:
            raylite.shutdown()
    broken = sum(len(one.violations) for one in reports)
    console.print(f"{len(reports)} campaigns, {broken} violations")
    sys.exit(1 if broken else 0)


def campaign(seed: int, seconds: float, console: Console) -> Report:
    """One, with what happened in it."""
    name = f"chaos-{seed}"
    database = raylite.connect(name, create=True)
    database.exec("CREATE TABLE t (client INTEGER, n INTEGER)")
    began = time.monotonic()
    report = background.run(
        run(name, seed, seconds, lambda what: console.print(f"{time.monotonic() - began:7.2f} {what}")), None
    )
    console.print(f"seed {seed}: {report.seconds:.0f} s, {report.faults}, {report.outcomes}")
    for one in report.violations:
        console.print(f"VIOLATION {one}", style="red")
    return report


if __name__ == "__main__":
    main()
