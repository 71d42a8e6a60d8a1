"""A short campaign; `just chaos` runs as many as one likes."""

from __future__ import annotations

from tests.chaos.campaign import run

import raylite
from raylite.router.background import background

SEED = 11
SECONDS = 12.0


def test_no_promise_is_broken(database: raylite.Database) -> None:
    report = background.run(run(database.name, SEED, SECONDS, print), None)
    print(report.faults, report.outcomes)
    assert report.violations == ()
    assert sum(report.faults.values()) > 3
    assert report.outcomes["done"] > 50
