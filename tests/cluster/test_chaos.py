"""A short campaign with faults of all kinds, on a system of its own; `just chaos` runs as many as one likes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.chaos.history import Outcome
from tests.chaos.records import Asked, End, Fault, read

SEED = 11
SECONDS = 8


def test_no_promise_is_broken(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.chaos", "--minutes", "0", "--histories", str(tmp_path)]
    done = subprocess.run(
        [*command, "--seed", str(SEED), "--seconds", str(SECONDS)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    print(done.stdout, done.stderr)
    assert "1 campaigns, 0 violations" in done.stdout
    assert done.returncode == 0
    lines = read(tmp_path / f"chaos-{SEED}.jsonl")
    assert sum(isinstance(one, Fault) for one in lines) > 3
    assert sum(isinstance(one, Asked) and one.operation.outcome is Outcome.DONE for one in lines) > 50
    assert isinstance(lines[-1], End)
