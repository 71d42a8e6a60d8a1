"""Who asks for a spare process, how often, and until when."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from raylite.actors import spare
from raylite.actors.spare import keep_spare
from raylite.policies.errors import Unreachable


class Tasks:
    """Workers in which a task runs; new: whether the next ones are started for it."""

    def __init__(self, *new: bool) -> None:
        self.new = list(new)
        self.runs = 0

    async def __call__(self) -> bool:
        self.runs += 1
        await asyncio.sleep(0.01)
        return self.new.pop(0) if self.new else True


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "node" / "spare"


def test_a_worker_that_was_started_for_the_task_leaves_another(mark: Path) -> None:
    tasks = Tasks(True)
    asyncio.run(keep_spare(mark, tasks))
    assert tasks.runs == 1


def test_a_spare_process_that_ran_the_task_is_replaced(mark: Path) -> None:
    tasks = Tasks(False, True)
    asyncio.run(keep_spare(mark, tasks))
    assert tasks.runs == 2


def test_it_is_given_up_in_the_end(mark: Path) -> None:
    tasks = Tasks(*[False] * 100)
    asyncio.run(keep_spare(mark, tasks))
    assert tasks.runs < 5


def test_of_many_actors_that_begin_at_once_one_asks(mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare, "SPARE_PROCESS_SECONDS", 0.1)
    tasks = Tasks()

    async def main() -> None:
        await keep_spare(mark, tasks)
        await asyncio.gather(*(keep_spare(mark, tasks) for _ in range(20)))

    asyncio.run(main())
    assert tasks.runs == 2


def test_nobody_waits_for_what_was_asked_long_ago(mark: Path) -> None:
    mark.parent.mkdir()
    mark.touch()
    os.utime(mark, (0, time.time() - 3600))
    tasks = Tasks()
    asyncio.run(asyncio.wait_for(keep_spare(mark, tasks), 5))
    assert tasks.runs == 1


def test_without_ray_or_a_directory_nothing_is_raised(mark: Path) -> None:
    async def fails() -> bool:
        raise Unreachable("Ray", "gone")

    asyncio.run(keep_spare(mark, fails))
    mark.parent.joinpath("file").write_text("")
    asyncio.run(keep_spare(mark.parent / "file" / "spare", Tasks()))
