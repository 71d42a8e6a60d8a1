"""The real cores under seeded faults, judged from outside."""

from __future__ import annotations

import os

import pytest

from raylite.actors.core.simulation.command import Summary, replay, run_all
from raylite.actors.core.simulation.run import run

SEEDS = int(os.environ.get("RAYLITE_SEEDS", "1000"))


@pytest.mark.timeout(1200)
def test_no_seed_breaks_a_promise() -> None:
    summary = Summary()
    for report in run_all(range(SEEDS), os.cpu_count() or 1):
        summary.add(report)
        assert not report.violations, f"{report.violations}; to see it again: {replay(report.seed)}"
    shares = summary.shares()
    print(
        f"{summary.runs} seeds, {summary.totals['acknowledged']} acknowledged writes; share of seeds with {shares}"
    )
    assert summary.fewest_writes >= 200
    assert summary.fewest_sessions >= 3
    assert summary.fewest_faults >= 3
    assert summary.fewest_kinds >= 2
    assert all(share >= 0.3 for share in shares.values()), shares


def test_a_seed_always_does_the_same() -> None:
    assert run(7) == run(7)
