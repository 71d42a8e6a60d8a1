"""A database is deleted: followers hold nothing of it, and no late message brings it back."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.services.local_system import LocalSystem
from tests.services.test_system import PRIMARY, run, until

from raylite.actors.core import messages as m
from raylite.actors.follower import Follower
from raylite.actors.primary import Primary
from raylite.actors.storage.directory import Directory
from raylite.policies.bookmark import origin
from raylite.policies.errors import NotPrimary, Unreachable


def test_a_dropped_database_stays_dropped_through_restarts_and_late_messages(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        await system.query(PRIMARY, "INSERT INTO t VALUES (1, 'x')")
        copies = tmp_path / "databases" / system.database_id
        (copies / "primary").mkdir(parents=True)
        for index in range(5):
            assert await system.ask_follower(index, m.Drop(system.database_id)) == m.Dropped(
                system.database_id
            )
        assert not copies.exists()
        primary = system.around.services[PRIMARY]
        assert isinstance(primary, Primary)
        await until(lambda: is_over(primary))
        assert system.around.left, "the primary's process ends, and is not started again"
        for index in range(5):
            await system.end(f"follower:{index}")
            follower = system.start_follower(index)
            member = system.members.current[index]
            late: list[m.ToFollower] = [
                m.Join(system.database_id),
                m.Found(system.database_id, member.incarnation, system.members),
                m.Promise(system.database_id, member.incarnation, 1, 99, "dir"),
            ]
            for message in late:
                answer = await system.ask_follower(index, message)
                assert isinstance(answer, m.Unknown)
                assert answer.dropped
            status = await follower.status()
            assert (status.databases, status.problems) == (0, ())

    run(tmp_path, case)


async def is_over(primary: Primary) -> bool:
    return (await primary.status()).state == "over"


def test_a_replica_of_an_earlier_database_of_that_name_gets_nothing_of_this_one(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        follower = system.around.services["follower:0"]
        connection = await follower.dial(PRIMARY, lambda connection, payload: None)
        earlier = m.Follow("another", "replica:shop:weur", "weur", origin("another"), 0)
        with pytest.raises(NotPrimary):
            await connection.call(earlier, 2)
        connection.close()

    run(tmp_path, case)


@contextlib.contextmanager
def holding(path: Path) -> Generator[None]:
    """As a process does that uses the copy there."""
    directory = Directory.claim(path, 0)
    try:
        yield
    finally:
        directory.release()


def test_a_copy_in_use_is_left_alone_until_it_is_free(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        follower = system.around.services["follower:0"]
        assert isinstance(follower, Follower)
        system.database_id = "another"
        used = tmp_path / "databases" / "another" / "primary"
        with holding(used), pytest.raises(Unreachable, match="lock"):
            await system.ask_follower(0, m.Drop("another"))
        assert await system.ask_follower(0, m.Drop("another")) == m.Dropped("another")
        assert not (tmp_path / "databases" / "another").exists()

    run(tmp_path, case)
