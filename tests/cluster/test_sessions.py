"""The whole session suite on a real Ray node, over the actors' connections and as Ray's own calls."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path

import cloudpickle
import pytest
from tests.cluster.conftest import make_database

import raylite
from raylite.actors import handles
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.catalogue import RoutingTable
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
    PartlyApplied,
    StatementError,
)
from raylite.policies.routing import Candidate
from raylite.policies.system import ROUTING
from raylite.router import api
from raylite.router.background import background
from raylite.router.parameters import Bindable
from raylite.router.runtime import Runtime

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


async def served_near(session: raylite.AsyncSession, region: str, numbers: Iterator[int]) -> int:
    """Writes ten times, and reads each write; how many of the reads this region's replica served."""
    near = 0
    for n in islice(numbers, 10):
        await session.prepare("INSERT INTO t VALUES (1, ?)").bind(n).run()
        found = await session.prepare("SELECT max(n) AS n FROM t WHERE client = 1").all()
        assert found.results == [{"n": n}]
        near += (found.meta.served_by_region, found.meta.served_by_primary) == (region, False)
    return near


def test_a_session_reads_its_own_writes_from_its_own_region(run: Callable[[Case], None]) -> None:
    async def case(open_in: Open) -> None:
        numbers = count()
        for region in REGIONS:
            session = (await open_in(region)).with_session()
            async with asyncio.timeout(60):  # one that starts, or hangs for a moment, is passed over
                while await served_near(session, region, numbers) <= 5:
                    pass

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


WRONG: list[tuple[str, tuple[Bindable, ...], type[Error]]] = [
    ("SELEC 1", (), StatementError),
    ("", (), StatementError),
    ("-- nothing but a comment", (), StatementError),
    ("SELECT * FROM missing", (), StatementError),
    ("SELECT missing FROM u", (), StatementError),
    ("INSERT INTO missing VALUES (1)", (), StatementError),
    ("SELECT no_such_function(1)", (), StatementError),
    ("SELECT 1\0; DROP TABLE u", (), StatementError),
    ("SELECT '\ud800'", (), StatementError),
    ("SELECT CAST(x'ff' AS TEXT)", (), StatementError),
    ("INSERT INTO u VALUES (5) RETURNING CAST(x'ff' AS TEXT)", (), StatementError),
    ("SELECT abs(-9223372036854775808)", (), StatementError),
    ("SELECT sum(a) FROM (SELECT 9223372036854775807 AS a UNION ALL SELECT 1)", (), StatementError),
    ("SELECT zeroblob(70000000)", (), StatementError),
    ("SELECT ?", (), ParameterError),
    ("SELECT ?", (1, 2), ParameterError),
    ("INSERT INTO u VALUES (?)", (), ParameterError),
    ("SELECT ?", (1 << 63,), ParameterError),
    ("SELECT ?", (-(1 << 63) - 1,), ParameterError),
    ("SELECT ?", (1 << 4000,), ParameterError),
    ("SELECT ?", ("\ud800",), ParameterError),
    ("SELECT ?", ("a\0b",), ParameterError),
    ("INSERT INTO u VALUES (1)", (), ConstraintError),
    ("INSERT INTO u VALUES (NULL), (NULL), (1)", (), ConstraintError),
    ("INSERT INTO v VALUES (NULL)", (), ConstraintError),
    ("INSERT INTO v VALUES (-1)", (), ConstraintError),
    ("INSERT INTO v VALUES ('text')", (), ConstraintError),
    ("INSERT INTO w VALUES (99)", (), ConstraintError),
    ("BEGIN", (), NotAllowed),
    ("COMMIT", (), NotAllowed),
    ("ROLLBACK", (), NotAllowed),
    ("SAVEPOINT a", (), NotAllowed),
    ("ATTACH 'x' AS x", (), NotAllowed),
    ("DETACH main", (), NotAllowed),
    ("VACUUM INTO '/tmp/elsewhere'", (), NotAllowed),
    ("CREATE TEMP TABLE x (a)", (), NotAllowed),
    ("SELECT load_extension('x')", (), NotAllowed),
    ("PRAGMA journal_mode = DELETE", (), NotAllowed),
    ("PRAGMA wal_checkpoint(TRUNCATE)", (), NotAllowed),
    ("PRAGMA writable_schema = ON", (), NotAllowed),
    ("PRAGMA synchronous = FULL", (), NotAllowed),
    ("SELECT 1; SELECT 2", (), NotAllowed),
    ("SELECT 1; DROP TABLE u", (), NotAllowed),
    ("SELECT '" + "x" * 1_000_001 + "'", (), LimitExceeded),
    ("SELECT ?", ("x" * (65 << 20),), LimitExceeded),
    ("SELECT ?", (bytes(65 << 20),), LimitExceeded),
    ("SELECT 1", (1,) * 32_767, LimitExceeded),
    (
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n LIMIT 1000001",
        (),
        LimitExceeded,
    ),
]
RIGHT: list[tuple[str, Bindable]] = [
    ("an empty blob", b""),
    ("a blob with NULs and no UTF-8", b"\0\xff\0"),
    ("nothing", None),
    ("the largest integer", (1 << 63) - 1),
    ("the smallest integer", -(1 << 63)),
    ("an empty text", ""),
    ("text beyond the first plane", "\U0001f980 \u00e9"),
    ("a large blob", bytes(8 << 20)),
]


def test_bad_input_gets_its_own_error_and_leaves_everything_intact(run: Callable[[Case], None]) -> None:
    async def case(open_in: Open) -> None:
        database = await open_in("weur")
        await database.exec(
            "CREATE TABLE IF NOT EXISTS u (a INTEGER PRIMARY KEY); INSERT OR IGNORE INTO u VALUES (1);"
            "CREATE TABLE IF NOT EXISTS v (a INTEGER NOT NULL CHECK (a > 0)) STRICT;"
            "CREATE TABLE IF NOT EXISTS w (a REFERENCES u)"
        )
        before = await newest(database)
        for asker in (database, database.with_session()):
            for sql, values, kind in WRONG:
                with pytest.raises(kind) as caught:
                    await asker.prepare(sql).bind(*values).all()
                assert type(caught.value) is kind, sql[:60]
                assert str(caught.value)
        assert await newest(database) == before, "something was written"
        assert await database.prepare("SELECT group_concat(a) AS a FROM u").first("a") == "1"

    run(case)


async def newest(database: raylite.AsyncDatabase) -> str:
    """The bookmark of the newest entry."""
    session = database.with_session("first-primary")
    await session.prepare("SELECT 1").all()
    return session.bookmark


def test_what_sqlite_can_hold_comes_back_as_it_was(run: Callable[[Case], None]) -> None:
    async def case(open_in: Open) -> None:
        database = await open_in("weur")
        await database.exec("CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value ANY) STRICT")
        session = database.with_session()
        for name, value in RIGHT:
            await session.prepare("INSERT OR REPLACE INTO kept VALUES (?, ?)").bind(name, value).run()
            assert (
                await session.prepare("SELECT value FROM kept WHERE name = ?").bind(name).first("value")
                == value
            )

    run(case)


def test_scripts_and_batches_are_checked_whole(run: Callable[[Case], None]) -> None:
    async def case(open_in: Open) -> None:
        database = await open_in("weur")
        await database.exec("CREATE TABLE IF NOT EXISTS x (a INTEGER PRIMARY KEY); DELETE FROM x")
        before = await newest(database)
        insert = database.prepare("INSERT INTO x VALUES (?)")
        with pytest.raises(LimitExceeded):
            await database.batch([insert.bind(n) for n in range(10_001)])
        with pytest.raises(ConstraintError):
            await database.batch([insert.bind(1), insert.bind(1)])
        with pytest.raises(NotAllowed):
            await database.batch([insert.bind(1), database.prepare("COMMIT")])
        with pytest.raises(LimitExceeded):
            await database.exec("-" * ((64 << 20) + 1))
        with pytest.raises(StatementError):
            await database.exec("SELEC 1; INSERT INTO x VALUES (1)")
        assert await newest(database) == before
        with pytest.raises(PartlyApplied, match="those before it stay"):
            await database.exec("INSERT INTO x VALUES (7); SELEC 1; INSERT INTO x VALUES (8)")
        assert await database.prepare("SELECT group_concat(a) AS a FROM x").first("a") == "7"

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
        text = session.bookmark
        for malformed in (
            "not a bookmark",
            text[:-1],
            text + "0",
            text.upper(),
            text.replace("-", "_"),
            "0" * 59,
        ):
            with pytest.raises(BookmarkError):
                database.with_session(malformed)
        other = await raylite.connect_async("another-database", create=True)
        theirs = other.with_session()
        await theirs.prepare("CREATE TABLE IF NOT EXISTS t (a)").run()
        await theirs.prepare("INSERT INTO t VALUES (1)").run()
        with pytest.raises(BookmarkError, match="another database"):
            await database.with_session(theirs.bookmark).prepare("SELECT 1").all()

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

    def rank(self, caller_region: str, candidates: Sequence[Candidate]) -> list[Candidate]:
        return sorted(candidates, key=lambda one: (not one.primary, one.region), reverse=True)


def test_a_drivers_own_routing_policy_reaches_routers(database: raylite.Database) -> None:
    raylite.set_routing_policy(Farthest())

    async def served() -> str:
        async with asyncio.timeout(20):
            here = await raylite.connect_async(database.name, region="enam")
            while True:
                found = await here.with_session().prepare("SELECT 1").all()
                if found.meta.served_by_region == "weur":
                    return found.meta.served_by_region
                await asyncio.sleep(0.05)

    async def kept() -> bytes:
        """The policy in the table of the routing actor's next process."""
        os.kill(await handles.call(ROUTING, "pid"), signal.SIGKILL)
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(raylite.Error):
                    table: RoutingTable = await handles.call(ROUTING, "watch", 0)
                    return table.policy
                await asyncio.sleep(0.1)

    try:
        assert background.run(served()) == "weur"
        assert isinstance(cloudpickle.loads(background.run(kept())), Farthest)
    finally:
        raylite.set_routing_policy(None)
