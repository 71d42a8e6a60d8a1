"""Statements, results and sessions as their callers see them."""

from __future__ import annotations

import asyncio
import enum
import math
from collections.abc import Callable

import pytest
from tests.unit.router_world import (
    FAR,
    HANG,
    NEAR,
    PRIMARY,
    READ,
    WRITE,
    After,
    World,
    failed,
    mark,
    rows,
)
from tests.unit.virtual_loop import now, run

from raylite.policies import limits
from raylite.policies.errors import (
    BookmarkError,
    ConstraintError,
    Error,
    LimitExceeded,
    NoReply,
    OutcomeUnknown,
    Overloaded,
    ParameterError,
    StatementError,
    StorageFull,
    Unreachable,
)
from raylite.policies.query import Answer, Mode, Query, Rows, Statement, Value
from raylite.router.client import AsyncDatabase, Bindable
from raylite.router.result import Result
from raylite.router.statements import AsyncStatement


class Number(enum.IntEnum):
    SEVEN = 7


class Word(str):
    """As a mixed-in Enum, whose `str` is its name and not its value."""

    def __str__(self) -> str:
        return "Word.HELLO"


def statement(sql: str = "SELECT ?") -> AsyncStatement:
    return World().database().prepare(sql)


def answering(found: Rows) -> AsyncStatement:
    """A statement that gets these rows."""
    world = World()
    world.on(PRIMARY, *[Answer([found], mark(1), PRIMARY, "enam", True, False)] * 9)
    return world.database().prepare(READ)


# Binding


@pytest.mark.parametrize(
    ("given", "travels"),
    [
        (None, None), (True, 1), (False, 0), (Number.SEVEN, 7), (2**63 - 1, 2**63 - 1), (-(2**63), -(2**63)),
        (1.5, 1.5), ("é", "é"), (Word("hello"), "hello"), (b"\x00", b"\x00"), (bytearray(b"ab"), b"ab"),
        (memoryview(b"abcd")[::2], b"ac"),
    ],
)  # fmt: skip
def test_values_travel_as_sqlite_has_them(given: Bindable, travels: Value) -> None:
    [bound] = statement().bind(given).params
    assert bound == travels
    assert type(bound) is type(travels)


def test_not_a_number_travels_as_it_is() -> None:
    [bound] = statement().bind(math.nan).params
    assert isinstance(bound, float)
    assert math.isnan(bound)


@pytest.mark.parametrize(
    "given",
    [2**63, -(2**63) - 1, object(), [1], {"a": 1}, 1 + 2j, "\ud800", "a\0b"],
    ids=["past 64 bits", "below 64 bits", "object", "list", "dict", "complex", "surrogate", "NUL"],
)
def test_other_values_are_refused_when_they_are_bound(given: Bindable) -> None:
    with pytest.raises(ParameterError, match="parameter 2"):
        statement("SELECT ?, ?").bind(1, given)


def test_sizes_are_checked_before_anything_is_sent() -> None:
    with pytest.raises(LimitExceeded):
        statement().bind(bytes(limits.VALUE_BYTES + 1))
    with pytest.raises(LimitExceeded):
        statement().bind(*range(limits.PARAMETERS + 1))
    with pytest.raises(LimitExceeded):
        statement("-" * (limits.SQL_BYTES + 1))


def test_sql_that_is_no_text_is_refused() -> None:
    prepare: Callable[..., AsyncStatement] = World().database().with_session().prepare
    for sql in (None, b"SELECT 1"):
        with pytest.raises(ParameterError, match="SQL is text"):
            prepare(sql)
    with pytest.raises(StatementError, match="surrogate"):
        prepare("SELECT '\ud800'")


def test_binding_leaves_the_statement_as_it_was() -> None:
    first = statement()
    second = first.bind(1)
    third = second.bind(2)
    assert (first.params, second.params, third.params) == ((), (1,), (2,))


# Results


def test_all_gives_dicts_in_order_and_of_equal_names_the_last_column() -> None:
    result = run(answering(rows(("a", "b", "a"), (1, 2, 3), (4, 5, 6))).all())
    assert result.results == [{"a": 3, "b": 2}, {"a": 6, "b": 5}]
    assert result.success


def test_raw_keeps_columns_of_equal_names() -> None:
    found = answering(rows(("a", "a"), (1, 2)))
    assert run(found.raw()) == [[1, 2]]
    assert run(found.raw(column_names=True)) == [["a", "a"], [1, 2]]
    assert run(answering(rows(("a", "a"))).raw(column_names=True)) == [["a", "a"]]


def test_first_gives_the_first_row_or_one_column_of_it() -> None:
    found = answering(rows(("a", "b", "a"), (1, None, 3), (4, 5, 6)))
    assert run(found.first()) == {"a": 3, "b": None}
    assert (run(found.first("a")), run(found.first("b"))) == (3, None)


def test_first_is_none_without_rows() -> None:
    found = answering(rows(("a",)))
    assert run(found.first()) is None
    assert run(found.first("a")) is None


def test_first_of_a_column_that_is_not_there_says_which_there_are() -> None:
    for found in (rows(("a", "b"), (1, 2)), rows(("a", "b"))):
        with pytest.raises(StatementError, match=r"no column 'c' in \['a', 'b'\]"):
            run(answering(found).first("c"))


def test_meta_says_who_served_and_what_was_done() -> None:
    world = World()
    world.on(NEAR, Unreachable("it", "gone"))
    world.on(FAR, Unreachable("it", "gone"))
    meta = run(world.database().with_session().prepare(WRITE).run()).meta
    assert (meta.served_by, meta.served_by_region, meta.served_by_primary) == (PRIMARY, "enam", True)
    assert (meta.changes, meta.last_row_id, meta.changed_db, meta.size_after) == (1, 7, True, 8192)
    assert (meta.duration, meta.timings.sql_duration_ms, meta.total_attempts) == (0.5, 0.5, 3)
    assert (meta.rows_read, meta.rows_written) == (1, None)
    assert meta.timings.round_trip_ms > 0


# Databases


def test_without_a_session_everything_goes_to_the_primary_and_carries_no_bookmark() -> None:
    async def scenario() -> None:
        world = World()
        database = world.database()
        await database.prepare(WRITE).run()
        await database.prepare(READ).all()
        await database.batch([database.prepare(READ)])
        await database.exec("SELECT 1; SELECT 2")
        assert world.actors == [PRIMARY] * 4
        assert all(one.primary and one.bookmark == "" for _, one, _ in world.asked)
        assert world.asked[3][1].mode is Mode.SCRIPT

    run(scenario())


def test_without_a_session_queries_run_side_by_side() -> None:
    async def scenario() -> None:
        world = World()
        read = world.database().prepare(READ)
        world.on(PRIMARY, *[After(1.0, world.answer(query_of(read))) for _ in range(3)])
        await asyncio.gather(*(read.all() for _ in range(3)))
        assert world.most_under_way == 3

    run(scenario())


def test_a_batch_gives_one_result_a_statement() -> None:
    async def scenario() -> list[Result]:
        database = World().database()
        return await database.batch(database.prepare(sql) for sql in (WRITE, READ))

    written, read = run(scenario())
    assert (written.meta.changes, read.results) == (1, [{"sql": READ}])


def test_a_batch_of_nothing_of_too_much_or_of_another_database_is_refused() -> None:
    async def scenario() -> None:
        world = World()
        database = world.database()
        session, one = database.with_session(), database.prepare(READ)
        await session.batch([one])
        with pytest.raises(ParameterError, match="no statement"):
            await session.batch([])
        with pytest.raises(LimitExceeded):
            await session.batch([one] * (limits.BATCH_STATEMENTS + 1))
        other = AsyncDatabase(world.router(), "another", world).prepare(READ)
        with pytest.raises(ParameterError, match="another database"):
            await session.batch([other])
        assert len(world.asked) == 1

    run(scenario())


@pytest.mark.parametrize("timeout", [0, -1, math.nan, True, "1", math.inf, 1e9])
def test_a_timeout_that_is_none_is_refused(timeout: float) -> None:
    world = World()
    with pytest.raises((ParameterError, LimitExceeded), match="timeout"):
        run(world.database().prepare(READ).all(timeout=timeout))
    assert world.asked == []


def test_a_query_takes_no_longer_than_its_timeout() -> None:
    async def scenario() -> float:
        world = World()
        world.on(PRIMARY, *[Unreachable("it", "gone")] * 100)
        began = now()
        with pytest.raises(Unreachable, match="within 2 s"):
            await world.database().prepare(READ).all(timeout=2)
        return now() - began

    assert run(scenario()) <= 2.0


# Sessions


def test_a_session_sends_the_newest_bookmark_that_it_has_seen() -> None:
    async def scenario() -> None:
        world = World()
        session = world.database().with_session()
        assert (session.bookmark, session.get_bookmark()) == ("", None)
        await session.prepare(WRITE).run()
        assert (session.bookmark, session.get_bookmark()) == (mark(1), mark(1))
        world.on(NEAR, Answer([rows(("a",))], mark(0), NEAR, "weur", False, False))
        await session.prepare(READ).all()
        assert session.bookmark == mark(1)
        assert [one.bookmark for _, one, _ in world.asked] == ["", mark(1)]

    run(scenario())


def test_an_error_that_carries_a_bookmark_moves_the_session() -> None:
    async def scenario() -> None:
        world = World()
        session = world.database().with_session()
        world.on(NEAR, failed(ConstraintError("UNIQUE constraint failed: t.a", 2067), 5))
        with pytest.raises(ConstraintError):
            await session.prepare(WRITE).run()
        assert session.bookmark == mark(5)

    run(scenario())


def test_a_session_carries_on_from_a_bookmark_of_another() -> None:
    async def scenario() -> None:
        world = World()
        await world.database().with_session(mark(7)).prepare(READ).all()
        assert world.asked[0][1].bookmark == mark(7)

    run(scenario())


def test_a_session_that_starts_at_the_primary_goes_near_after_its_first_answer() -> None:
    async def scenario() -> None:
        world = World()
        session = world.database().with_session("first-primary")
        world.on(PRIMARY, failed(StatementError("no such table: t")))
        with pytest.raises(StatementError):
            await session.prepare(READ).all()
        await session.prepare(READ).all()
        await session.prepare(READ).all()
        assert world.actors == [PRIMARY, PRIMARY, NEAR]

    run(scenario())


def test_a_constraint_is_one_of_three_kinds() -> None:
    database = World().database()
    assert database.with_session("").get_bookmark() is None
    for constraint in ("second-primary", mark(1)[:-1], mark(1).upper()):
        with pytest.raises(BookmarkError):
            database.with_session(constraint)


def test_one_query_of_a_session_is_under_way_and_the_others_follow_in_order() -> None:
    async def scenario() -> None:
        world = World()
        session = world.database().with_session()
        statements = [session.prepare(f"SELECT {n}") for n in range(20)]
        world.on(NEAR, *[After(0.5, world.answer(query_of(one))) for one in statements])
        await asyncio.gather(*(one.all() for one in statements))
        assert [one.statements[0].sql for _, one, _ in world.asked] == [one.sql for one in statements]
        assert world.most_under_way == 1

    run(scenario())


def test_waiting_for_its_turn_counts_against_a_querys_timeout() -> None:
    async def scenario() -> None:
        world = World()
        session = world.database().with_session()
        world.on(NEAR, After(5.0, world.answer(query_of(session.prepare(READ)))))
        slow = asyncio.create_task(session.prepare(READ).all())
        await asyncio.sleep(0)
        with pytest.raises(Unreachable, match="an earlier query of this session"):
            await session.prepare(READ).all(timeout=1.0)
        await slow
        assert len(world.asked) == 1
        await session.prepare(READ).all()

    run(scenario())


def test_a_session_has_room_for_so_many_and_says_so() -> None:
    async def scenario() -> None:
        world = World()
        session = world.database().with_session()
        world.on(NEAR, After(1.0, world.answer(query_of(session.prepare(READ)))))
        asked = [asyncio.create_task(session.prepare(READ).all()) for _ in range(limits.WAITING_QUERIES + 1)]
        await asyncio.sleep(0.1)
        with pytest.raises(Overloaded):
            await session.prepare(READ).all()
        await asyncio.gather(*asked)
        assert world.most_under_way == 1

    run(scenario())


def test_a_query_cancelled_before_its_turn_does_not_run() -> None:
    async def scenario() -> None:
        world = World()
        session = world.database().with_session()
        world.on(NEAR, After(1.0, world.answer(query_of(session.prepare(READ)))))
        first = asyncio.create_task(session.prepare(READ).all())
        second = asyncio.create_task(session.prepare(WRITE).run())
        third = asyncio.create_task(session.prepare("SELECT 3").all())
        await asyncio.sleep(0.1)
        second.cancel()
        await asyncio.gather(first, third)
        assert [one.statements[0].sql for _, one, _ in world.asked] == [READ, "SELECT 3"]

    run(scenario())


def test_a_write_that_is_cancelled_goes_on_and_the_next_query_waits_and_sees_it() -> None:
    async def scenario() -> None:
        world = World()
        session = world.database().with_session()
        world.on(NEAR, After(3.0, Answer([rows(())], mark(4), PRIMARY, "enam", True, True)))
        write = asyncio.create_task(session.prepare(WRITE).run())
        await asyncio.sleep(1)
        write.cancel()
        with pytest.raises(asyncio.CancelledError):
            await write
        assert world.under_way == 1
        began = now()
        await session.prepare(READ).all()
        assert now() - began == 2.0
        assert world.asked[1][1].bookmark == mark(4)
        assert world.most_under_way == 1

    run(scenario())


def test_after_a_write_of_unknown_outcome_the_session_goes_on() -> None:
    async def scenario() -> None:
        world = World()
        session = world.database().with_session()
        world.on(NEAR, NoReply("it", "the connection ended"))
        world.on(PRIMARY, StorageFull("/data", "no space left"))
        with pytest.raises(OutcomeUnknown):
            await session.prepare(WRITE).run()
        await session.prepare(READ).all()
        assert world.actors == [NEAR, PRIMARY, NEAR]

    run(scenario())


def test_a_write_whose_answer_was_lost_counts_its_attempts() -> None:
    async def scenario() -> None:
        world = World()
        world.on(PRIMARY, NoReply("it", "the connection ended"))
        result = await world.database().prepare(WRITE).run()
        assert (result.meta.total_attempts, result.meta.changes) == (2, 1)

    run(scenario())


def test_a_session_tells_how_much_of_the_log_was_seen_before_its_write() -> None:
    async def scenario() -> None:
        world = World()
        session = world.database().with_session(mark(7))
        await session.prepare(WRITE).run()
        assert world.asked[-1][1].since == mark(7)

    run(scenario())


def test_a_cancelled_write_that_never_ends_holds_its_session_up_to_its_deadline_only() -> None:
    async def scenario() -> None:
        world = World()
        session = world.database().with_session()
        world.on(NEAR, HANG)
        began = now()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await session.prepare(WRITE).run(timeout=4)
        await session.prepare(READ).all()
        assert now() - began == 4 + limits.ANSWER_GRACE_SECONDS

    run(scenario())


def test_errors_are_raised_as_the_actor_meant_them() -> None:
    world = World()
    world.on(PRIMARY, failed(ConstraintError("NOT NULL constraint failed: t.a", 1299)))
    with pytest.raises(Error) as caught:
        run(world.database().prepare(WRITE).run())
    assert type(caught.value) is ConstraintError
    assert caught.value.code == 1299


def query_of(one: AsyncStatement) -> Query:
    return Query("", Mode.RUN, (Statement(one.sql),), "", 1.0)
