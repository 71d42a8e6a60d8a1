"""The whole session suite on a real Ray node, over the actors' connections and as Ray's own calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from tests.cluster.conftest import make_database

import raylite
from raylite.actors import handles
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import (
    BookmarkError,
    ConstraintError,
    DatabaseExists,
    DatabaseNotFound,
    Error,
    InvalidName,
    LimitExceeded,
    NotAllowed,
    ParameterError,
    StatementError,
)
from raylite.policies.routing import Candidate
from raylite.router import api
from raylite.router.runtime import Runtime
from raylite.router.sync import background

REGIONS = ("enam", "weur", "apac")
Open = Callable[[str], Awaitable[raylite.AsyncDatabase]]
Case = Callable[[Open], Awaitable[None]]


@pytest.fixture(scope="module", params=["stream", "ray"])
def run(system: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[Case], None]]:
    """Runs a case with databases whose queries travel one way or the other."""
    for database in make_database():

        def run_case(case: Case, name: str = database.name) -> None:
            background.run(_run(name, case, streams=request.param == "stream"))

        yield run_case


async def _run(name: str, case: Case, *, streams: bool) -> None:
    runtime = Runtime(await asyncio.to_thread(api.settings), streams=streams)
    entry = await handles.call("registry", "lookup", name)
    try:
        await case(lambda region: runtime.open(entry, region))
    finally:
        await runtime.close()


def test_a_session_reads_its_own_writes_from_its_own_region(run: Callable[[Case], None]) -> None:
    async def case(open_in: Open) -> None:
        for region in REGIONS:
            session = (await open_in(region)).with_session()
            for n in range(10 * REGIONS.index(region), 10 * REGIONS.index(region) + 10):
                await session.prepare("INSERT INTO t VALUES (?, ?)").bind(1, n).run()
                found = await session.prepare("SELECT max(n) AS n FROM t WHERE client = 1").all()
                assert found.results == [{"n": n}]
                assert (found.meta.served_by_region, found.meta.served_by_primary) == (region, False)

    run(case)


def test_a_bookmark_carries_a_session_to_another_region(run: Callable[[Case], None]) -> None:
    async def case(open_in: Open) -> None:
        here, there = await open_in("weur"), await open_in("apac")
        for n in range(20):
            session = here.with_session()
            await session.prepare("INSERT INTO t VALUES (2, ?)").bind(n).run()
            further = there.with_session(session.bookmark)
            assert await further.prepare("SELECT max(n) AS n FROM t WHERE client = 2").first("n") == n
            assert further.bookmark >= session.bookmark

    run(case)


def test_first_primary_asks_the_primary_and_then_the_nearest(run: Callable[[Case], None]) -> None:
    async def case(open_in: Open) -> None:
        session = (await open_in("apac")).with_session("first-primary")
        first = await session.prepare("SELECT 1 AS one").all()
        second = await session.prepare("SELECT 1 AS one").all()
        assert (first.meta.served_by_primary, second.meta.served_by_primary) == (True, False)

    run(case)


def test_a_batch_is_one_transaction(run: Callable[[Case], None]) -> None:
    async def case(open_in: Open) -> None:
        database = await open_in("weur")
        insert = database.prepare("INSERT INTO t VALUES (?, ?)")
        with pytest.raises(Error):
            await database.batch([insert.bind(3, 1), database.prepare("INSERT INTO missing VALUES (1)")])
        assert await database.prepare("SELECT count(*) AS n FROM t WHERE client = 3").first("n") == 0
        await database.batch([insert.bind(3, 1), insert.bind(3, 2)])
        assert await database.prepare("SELECT count(*) AS n FROM t WHERE client = 3").first("n") == 2

    run(case)


def test_concurrent_queries_of_one_session_run_in_order(run: Callable[[Case], None]) -> None:
    async def case(open_in: Open) -> None:
        session = (await open_in("weur")).with_session()
        inserts = [session.prepare("INSERT INTO t VALUES (4, ?)").bind(n).run() for n in range(20)]
        await asyncio.gather(*inserts)
        rows = await session.prepare("SELECT n FROM t WHERE client = 4 ORDER BY rowid").raw()
        assert [row[0] for row in rows] == list(range(20))

    run(case)


WRONG: list[tuple[str, tuple[int | str, ...], type[Error]]] = [
    ("SELEC 1", (), StatementError),
    ("SELECT * FROM missing", (), StatementError),
    ("SELECT ?", (), ParameterError),
    ("SELECT ?", (1, 2), ParameterError),
    ("INSERT INTO u VALUES (1)", (), ConstraintError),
    ("BEGIN", (), NotAllowed),
    ("ATTACH 'x' AS x", (), NotAllowed),
    ("PRAGMA journal_mode = DELETE", (), NotAllowed),
    ("SELECT 1; SELECT 2", (), Error),
    ("SELECT '" + "x" * 1_000_001 + "'", (), LimitExceeded),
    ("SELECT ?", ("x" * (65 << 20),), LimitExceeded),
    ("SELECT ?", (1 << 63,), ParameterError),
    ("SELECT ?", ("\ud800",), ParameterError),
    ("SELECT ?", ("a\0b",), ParameterError),
]


def test_bad_input_gets_its_own_error_and_leaves_everything_intact(run: Callable[[Case], None]) -> None:
    async def case(open_in: Open) -> None:
        database = await open_in("weur")
        await database.exec(
            "CREATE TABLE IF NOT EXISTS u (a INTEGER PRIMARY KEY); INSERT OR IGNORE INTO u VALUES (1)"
        )
        for asker in (database, database.with_session()):
            for sql, values, kind in WRONG:
                with pytest.raises(kind):
                    await asker.prepare(sql).bind(*values).all()
        assert await database.prepare("SELECT count(*) AS n FROM u").first("n") == 1
        assert await database.prepare("SELECT ? AS b").bind(b"\0\xff").first("b") == b"\0\xff"
        assert await database.prepare("SELECT ? AS n").bind((1 << 63) - 1).first("n") == (1 << 63) - 1

    run(case)


def test_bookmarks_that_do_not_belong_are_refused(run: Callable[[Case], None]) -> None:
    async def case(open_in: Open) -> None:
        database = await open_in("weur")
        session = database.with_session()
        await session.prepare("INSERT INTO t VALUES (5, 5)").run()
        here = Bookmark.parse(session.bookmark)
        for wrong in (
            origin("another"),
            Bookmark(here.epoch, here.sequence, here.history, bytes(12)),
            Bookmark(here.epoch, here.sequence + 10_000, here.history, here.digest),
        ):
            with pytest.raises(BookmarkError):
                await database.with_session(str(wrong)).prepare("SELECT 1").all()
        with pytest.raises(BookmarkError):
            database.with_session("not a bookmark")

    run(case)


def test_names_are_checked_and_taken_once(system: Path) -> None:
    raylite.connect("taken", create=True)
    with pytest.raises(DatabaseExists):
        background.run(api.create_database("taken"))
    with pytest.raises(DatabaseNotFound):
        raylite.connect("nobody-made-this")
    for wrong in ("", "a b", "_registry", "x" * 65, "../x"):
        with pytest.raises(InvalidName):
            raylite.connect(wrong, create=True)


class Farthest:
    """A driver's own policy: the region that sorts last, the primary at the end."""

    def rank(self, caller_region: str, candidates: list[Candidate]) -> list[Candidate]:
        return sorted(candidates, key=lambda one: (not one.primary, one.region), reverse=True)


def test_a_drivers_own_routing_policy_reaches_routers(database: raylite.Database) -> None:
    raylite.set_routing_policy(Farthest())  # type: ignore[arg-type] # a list is what routers pass

    async def served() -> str:
        async with asyncio.timeout(20):
            here = await raylite.connect_async(database.name, region="enam")
            while True:
                found = await here.with_session().prepare("SELECT 1").all()
                if found.meta.served_by_region == "weur":
                    return found.meta.served_by_region
                await asyncio.sleep(0.05)

    try:
        assert background.run(served()) == "weur"
    finally:
        raylite.set_routing_policy(None)
