"""Primaries that verify their own archives now and then. In one process, without Ray."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.services.test_archiving import ColdSystem, says, until
from tests.services.test_forks import run
from tests.services.test_trimming import restarted

from raylite.actors.drill import Drill
from raylite.actors.duties import VERIFIED
from raylite.actors.primary import Primary
from raylite.policies import limits
from raylite.policies.errors import Unreachable
from raylite.policies.status import Verified


async def verified(primary: Primary) -> float:
    """How long ago, once it was."""

    async def so() -> bool:
        return (await primary.status()).verified_seconds is not None

    await until(so)
    found = (await primary.status()).verified_seconds
    assert found is not None
    return found


def test_status_says_how_long_ago_it_was_also_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def case(system: ColdSystem, primary: Primary) -> None:
        assert (await primary.status()).verified_seconds is None
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        assert await verified(primary) < 60
        monkeypatch.setattr(limits, "DRILL_SECONDS", 3600.0)
        primary = await restarted(system, "primary")
        await system.query("primary:shop", "INSERT INTO t VALUES (1)")
        assert (await primary.status()).verified_seconds is not None

        async def well() -> bool:
            return (await primary.status()).problems == ()

        await until(well)

    monkeypatch.setattr(limits, "DRILL_SECONDS", 0.2)
    run(tmp_path, case)


def test_its_age_is_a_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def case(system: ColdSystem, primary: Primary) -> None:
        async def exported() -> bool:
            return (VERIFIED, "primary:shop") in system.around.gauges

        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        await verified(primary)
        await until(exported)
        age = system.around.gauges[VERIFIED, "primary:shop"]
        assert 0 <= age < 60

    monkeypatch.setattr(limits, "METRICS_SECONDS", 0.02)
    monkeypatch.setattr(limits, "DRILL_SECONDS", 0.2)
    run(tmp_path, case)


def test_what_is_damaged_is_found_without_being_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def case(system: ColdSystem, primary: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        await verified(primary)
        for segment in (system.cold / "databases").rglob("log/*"):
            data = bytearray(segment.read_bytes())
            data[len(data) // 2] ^= 4
            segment.write_bytes(data)
        await says(primary, "cold storage does not give this database back")

    monkeypatch.setattr(limits, "DRILL_SECONDS", 0.2)
    run(tmp_path, case)


def test_a_drill_that_fails_says_so_and_is_tried_again_before_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[Verified | None] = [None, Verified("b", 1, "00", ()), Verified("b", 1, "00", ("a page",))]
    problems: list[str] = []

    async def verify() -> Verified:
        problems.append(drill.problem)
        found = outcomes.pop(0)
        if found is None:
            raise Unreachable("cold storage", "it is away")
        return found

    async def main() -> None:
        task = asyncio.create_task(drill.run())

        async def found() -> bool:
            return "a page" in drill.problem

        await until(found)
        task.cancel()

    monkeypatch.setattr(limits, "DRILL_SECONDS", 0.1)
    drill = Drill(verify, tmp_path / "drill", lambda: 1000.0)
    asyncio.run(main())
    assert problems[0] == problems[2] == ""
    assert "could not be verified: cold storage" in problems[1]


def test_a_note_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    async def never() -> Verified:
        raise AssertionError

    for text in ("", "{}", "null", '{"at": "x"}'):
        (tmp_path / "drill").write_text(text)
        assert Drill(never, tmp_path / "drill", lambda: 1000.0).age_seconds is None
