"""The real cores under seeded faults, judged from outside."""

from __future__ import annotations

import os

import pytest

from raylite.actors.core.simulation.command import run_all, summarize
from raylite.actors.core.simulation.run import run

SEEDS = int(os.environ.get("RAYLITE_SEEDS", "100"))
"""CI runs 5,000, as far as its time allows (.ci/run)."""


@pytest.mark.timeout(1800)
def test_no_seed_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    summary = summarize(run_all(range(SEEDS), 1), lambda _: None)
    with capsys.disabled():
        print("", *summary.lines(), sep="\n")
    assert not summary.failed
    assert summary.fewest_writes >= 200
    assert summary.fewest_sessions >= 3
    assert summary.fewest_faults >= 3
    assert summary.fewest_kinds >= 2
    assert all(share >= 0.3 for share in summary.shares().values())


@pytest.mark.parametrize("seed", [187, 2918])
def test_seeds_that_once_failed(seed: int) -> None:
    """187: a follower was never brought up to date; 2918: writes waited for both sets as a change of members ended."""
    assert not run(seed).violations


def test_a_seed_always_does_the_same() -> None:
    assert run(7) == run(7)
