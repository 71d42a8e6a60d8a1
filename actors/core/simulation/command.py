"""Runs many seeds over processes, and says what happened in them."""

from __future__ import annotations

import argparse
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from multiprocessing import get_context

from raylite.actors.core.simulation.run import Report, run

CHUNK = 8
_MODULE = "raylite.actors.core.simulation"


def replay(seed: int) -> str:
    """The command that runs this seed again."""
    return f"raylite simulate --seed {seed}"


def run_all(seeds: Sequence[int], processes: int) -> Iterator[Report]:
    """The reports of these seeds, in order, as they come."""
    if processes <= 1:
        yield from map(run, seeds)
        return
    with get_context("spawn").Pool(processes, initializer=gc.disable) as pool:
        yield from pool.imap(_run, seeds, CHUNK)


def _run(seed: int) -> Report:
    """One seed in a process of its own, where garbage is collected between runs only."""
    report = run(seed)
    gc.collect()
    return report


class Summary:
    """What happened in many runs."""

    def __init__(self) -> None:
        self.runs = 0
        self.fewest_writes = self.fewest_sessions = self.fewest_faults = self.fewest_kinds = 1 << 30
        self.totals: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.situations: Counter[str] = Counter()
        self.failed: list[Report] = []

    def add(self, report: Report) -> None:
        """One more run."""
        self.runs += 1
        self.fewest_writes = min(self.fewest_writes, report.writes)
        self.fewest_sessions = min(self.fewest_sessions, report.sessions)
        self.fewest_faults = min(self.fewest_faults, sum(report.faults.values()))
        self.fewest_kinds = min(self.fewest_kinds, len(report.faults))
        self.totals.update(
            writes=report.writes, acknowledged=report.acknowledged, unknown=report.unknown, reads=report.reads
        )
        self.faults.update({kind.value: count for kind, count in report.faults.items()})
        self.situations.update(name for name, happened in report.shares.items() if happened)
        if report.violations:
            self.failed.append(report)

    def shares(self) -> dict[str, float]:
        """The share of runs that had each situation."""
        names = ("takeover", "partition", "follower restart", "pause")
        return {name: self.situations[name] / max(1, self.runs) for name in names}

    def lines(self) -> Iterator[str]:
        """The report as text."""
        yield f"{self.runs} seeds: " + ", ".join(f"{count} {what}" for what, count in self.totals.items())
        yield "share of seeds with " + ", ".join(
            f"{name} {share:.0%}" for name, share in self.shares().items()
        )
        yield (
            f"at least {self.fewest_writes} writes, {self.fewest_sessions} sessions, "
            f"{self.fewest_faults} faults of {self.fewest_kinds} kinds a seed"
        )
        yield "faults: " + ", ".join(f"{kind} {count}" for kind, count in self.faults.most_common())
        for report in self.failed:
            yield f"seed {report.seed} FAILED; replay it: {replay(report.seed)}"
            yield from (f"    {violation}" for violation in report.violations)
        yield f"violations in {len(self.failed)} seeds"


def summarize(reports: Iterable[Report], progress: Callable[[int], None]) -> Summary:
    """All reports in one; `progress` hears how many there are so far."""
    summary = Summary()
    for report in reports:
        summary.add(report)
        progress(summary.runs)
    return summary


def main(arguments: Sequence[str]) -> int:
    """Runs `--seeds` seeds from `--seed` on, for `--seconds` at most; returns 1 if one of them has a violation."""
    parser = argparse.ArgumentParser(prog=f"python -m {_MODULE}", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--processes", type=int, default=1, help="how many processes share the work")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no more after so long")
    chosen = parser.parse_args(arguments)
    seeds = range(chosen.seed, chosen.seed + chosen.seeds)
    end = time.monotonic() + chosen.seconds
    reports = takewhile(lambda _: time.monotonic() < end, run_all(seeds, chosen.processes))
    summary = summarize(reports, lambda _: None)
    print("\n".join(summary.lines()))
    return 1 if summary.failed else 0
