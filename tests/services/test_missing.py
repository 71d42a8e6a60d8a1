"""Followers miss a primary that falls silent, and tell the registry."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.services.local_system import LocalSystem
from tests.services.test_system import PRIMARY, run, until

from raylite.actors.core import messages as m
from raylite.actors.service import Service, boottime
from raylite.policies import limits
from raylite.policies.errors import ForeignDirectory


def test_followers_report_a_primary_that_ended_without_a_word(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        await system.query(PRIMARY, "INSERT INTO t VALUES (1, 'before')")
        primary = system.around.services[PRIMARY]
        await Service.stop(primary)  # as when its process is stopped: no lease is released

        async def is_reported() -> bool:
            return system.around.missing.count(system.database_id) >= 5

        await until(is_reported, 15)

    run(tmp_path, case)


def test_followers_forget_a_primary_whose_database_is_gone(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        system.around.gone.add(system.database_id)
        await system.query(PRIMARY, "INSERT INTO t VALUES (1, 'before')")
        await Service.stop(system.around.services[PRIMARY])

        async def is_reported() -> bool:
            return len(system.around.missing) >= 5

        await until(is_reported, 15)
        last = boottime()

        async def would_be_reported_again() -> bool:
            return boottime() - last > 2 * limits.LEASE_SECONDS

        await until(would_be_reported_again, 15)
        assert len(system.around.missing) == 5

    run(tmp_path, case)


def test_a_follower_in_anothers_directory_answers_nothing_and_says_why(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        await system.query(PRIMARY, "INSERT INTO t VALUES (1, 'before')")
        await system.end("follower:4")
        (tmp_path / "follower-4").rename(tmp_path / "kept")
        shutil.copytree(tmp_path / "follower-3", tmp_path / "follower-4")
        wrong = system.start_follower(4)
        connection = await wrong.dial("follower:4")
        with pytest.raises(ForeignDirectory):
            await connection.call(m.Inspect(system.database_id), 5)
        connection.close()
        assert "follower:3" in (await wrong.status()).problems[0]
        await system.query(PRIMARY, "INSERT INTO t VALUES (2, 'without it')")

    run(tmp_path, case)
