"""Followers miss a primary that falls silent, and tell the registry."""

from __future__ import annotations

from pathlib import Path

from tests.services.local_system import LocalSystem
from tests.services.test_system import PRIMARY, run, until

from raylite.actors.service import Service, boottime
from raylite.policies import limits


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
