"""Where a query goes, and what an error makes of it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.router_world import (
    DATABASE,
    FAR,
    HANG,
    NAME,
    NEAR,
    PRIMARY,
    READ,
    WRITE,
    After,
    InOrder,
    Step,
    World,
    failed,
    mark,
    query,
)
from tests.unit.virtual_loop import now, run

from raylite.actors.core.keys import KEY_BYTES
from raylite.policies import limits
from raylite.policies.errors import (
    Corrupt,
    DatabaseNotFound,
    Error,
    Interrupted,
    KeyForgotten,
    LimitExceeded,
    NoQuorum,
    NoReply,
    NotPrimary,
    OutcomeUnknown,
    Overloaded,
    StatementError,
    StorageFull,
    Unreachable,
)
from raylite.policies.query import Answer, Mode, Query, Statement
from raylite.router.ports import Reply
from raylite.router.router import Router

GONE = Unreachable("it", "no such actor")
LOST = NoReply("it", "the connection ended")


def ask(world: World, *queries: Query) -> Reply:
    """The reply to the last of the queries, asked of one router; forgets what was asked before that."""

    async def all_of_them() -> Reply:
        router = world.router()
        for one in queries[:-1]:
            await router.ask(one)
        world.asked.clear()
        return await router.ask(queries[-1])

    return run(all_of_them())


def fail(world: World, *queries: Query) -> Error:
    """The error that the last of the queries raises."""
    with pytest.raises(Error) as caught:
        ask(world, *queries)
    return caught.value


def seconds_of(work: World, *queries: Query) -> float:
    """How long the last of the queries takes."""

    async def timed() -> float:
        router = work.router()
        for one in queries[:-1]:
            await router.ask(one)
        began = now()
        await asyncio.gather(router.ask(queries[-1]), return_exceptions=True)
        return now() - began

    return run(timed())


# Who is asked


def test_a_query_for_the_primary_goes_nowhere_else() -> None:
    world = World()
    reply = ask(world, query(READ, primary=True))
    assert world.actors == [PRIMARY]
    assert isinstance(reply.answer, Answer)
    assert reply.answer.primary


def test_a_session_asks_the_copy_that_the_policy_ranks_first() -> None:
    world = World()
    assert ask(world, query(READ)).attempts == 1
    assert world.actors == [NEAR]


def test_who_cannot_be_reached_is_passed_over_and_the_primary_is_the_last_resort() -> None:
    world = World()
    world.policy = InOrder(NEAR, FAR)
    world.on(NEAR, GONE)
    world.on(FAR, failed(Overloaded("queries", 3)))
    assert ask(world, query(READ)).attempts == 3
    assert world.actors == [NEAR, FAR, PRIMARY]


def test_a_policy_that_names_strangers_or_nobody_leads_to_the_primary() -> None:
    world = World()
    world.policy = InOrder("replica:other:weur")
    ask(world, query(READ))
    assert world.actors == [PRIMARY]


def test_a_text_that_was_a_write_goes_straight_to_the_primary_the_next_time() -> None:
    world = World()
    ask(world, query(WRITE))
    assert world.actors == [NEAR]
    ask(world, query(WRITE), query(WRITE))
    assert world.actors == [PRIMARY]


def test_a_batch_with_a_known_write_goes_straight_to_the_primary() -> None:
    world = World()
    ask(world, query(READ, WRITE), query(WRITE, READ))
    assert world.actors == [PRIMARY]


def test_every_attempt_carries_the_time_that_is_left() -> None:
    world = World()
    world.on(NEAR, After(2.0, GONE))
    ask(world, query(READ, seconds=10.0))
    assert [one.seconds for _, one, _ in world.asked] == [10.0, 8.0]


# Not run: asked again


@pytest.mark.parametrize(
    "error", [GONE, NotPrimary(NAME, 3), Interrupted("the query"), NoQuorum(NAME, 2, 3)], ids=type
)
def test_a_write_that_did_not_run_is_asked_again_by_the_newest_route(error: Error) -> None:
    world = World()
    world.on(PRIMARY, failed(error), failed(error))
    reply = ask(world, query(WRITE, primary=True))
    assert isinstance(reply.answer, Answer)
    assert (reply.attempts, world.routed) == (3, 3)


def test_a_primary_that_moved_is_found_by_its_new_name() -> None:
    async def scenario() -> None:
        world = World()
        world.on(PRIMARY, *[GONE] * 100)
        asked = asyncio.create_task(world.router().ask(query(WRITE, primary=True)))
        await asyncio.sleep(1)
        world.primary = "primary:shop:2"
        await asked
        assert world.actors[-1] == "primary:shop:2"

    run(scenario())


def test_time_runs_out_on_a_primary_that_nobody_reaches() -> None:
    world = World()
    world.on(PRIMARY, *[GONE] * 1000)
    error = fail(world, query(WRITE, primary=True, seconds=3.0))
    assert isinstance(error, Unreachable)
    assert str(error) == (
        "shop cannot be reached: no answer within 3 s (it: no such actor). Nothing was run. Try again."
    )


def test_asking_again_ends_at_the_deadline_and_pauses_in_between() -> None:
    world = World()
    world.on(PRIMARY, *[GONE] * 1000)
    assert 2.0 < seconds_of(world, query(WRITE, primary=True, seconds=3.0)) <= 3.0
    assert 6 < len(world.asked) < 30


def test_nobody_is_asked_after_the_deadline() -> None:
    world = World()
    world.on(NEAR, After(2.0 + limits.ANSWER_GRACE_SECONDS / 2, GONE))
    assert isinstance(fail(world, query(WRITE, seconds=2.0)), Unreachable)
    assert world.actors == [NEAR]


def test_a_missing_quorum_is_waited_for_a_while_and_then_told() -> None:
    world = World()
    world.on(PRIMARY, *[failed(NoQuorum(NAME, 2, 3))] * 1000)
    assert (
        limits.CONFIRM_SECONDS <= seconds_of(world, query(WRITE, primary=True)) < limits.CONFIRM_SECONDS + 1
    )
    assert ask(world, query(WRITE, primary=True)).answer == failed(NoQuorum(NAME, 2, 3))


def test_an_overloaded_or_full_primary_is_told_at_once() -> None:
    for error in (Overloaded("queries", 3), StorageFull("/data", "no space left")):
        world = World()
        world.on(PRIMARY, failed(error))
        assert ask(world, query(WRITE, primary=True)).answer == failed(error)
        assert world.actors == [PRIMARY]


def test_a_callers_own_fault_is_told_at_once_with_its_bookmark() -> None:
    world = World()
    world.on(NEAR, failed(StatementError("near FRM: syntax error"), 9))
    assert ask(world, query("SELECT 1 FRM t")).answer == failed(StatementError("near FRM: syntax error"), 9)
    assert world.actors == [NEAR]


def test_a_query_too_large_to_be_sent_is_not_asked_of_others() -> None:
    world = World()
    world.on(NEAR, LimitExceeded("a message", 2, 1, "bytes"))
    assert isinstance(fail(world, query(READ)), LimitExceeded)
    assert world.actors == [NEAR]


# Perhaps run


@pytest.mark.parametrize("actor", [NEAR, PRIMARY])
@pytest.mark.parametrize(
    "lost", [LOST, failed(OutcomeUnknown(NAME, "not confirmed"), 4)], ids=["lost", "unknown"]
)
def test_a_write_that_may_have_run_is_sent_again_to_the_primary_with_its_key(actor: str, lost: Step) -> None:
    world = World()
    world.on(actor, lost)
    assert ask(world, query(WRITE, primary=actor == PRIMARY)).attempts == 2
    assert world.actors == [actor, PRIMARY]
    first, second = (one for _, one, _ in world.asked)
    assert len(first.key) == KEY_BYTES
    assert (first.repeated, second.repeated) == (False, True)
    assert (first.key, first.since) == (second.key, second.since)


def test_no_two_writes_have_one_key_and_a_certain_read_has_none() -> None:
    world = World()
    ask(world, query(READ), query(WRITE))
    first = world.asked[-1][1].key
    ask(world, query(READ), query(WRITE))
    assert world.asked[-1][1].key != first
    ask(world, query(READ), query(READ))
    assert world.asked[-1][1].key == b""


def test_a_write_says_what_was_seen_before_its_first_attempt() -> None:
    world = World()
    world.on(PRIMARY, world.answer(query(WRITE)), failed(StatementError("no"), 9), LOST)
    ask(world, query(WRITE, primary=True), query(WRITE, primary=True), query(WRITE, primary=True))
    assert [one.since for _, one, _ in world.asked] == [mark(9), mark(9)]


def test_a_write_that_did_not_run_is_not_called_repeated() -> None:
    world = World()
    world.on(PRIMARY, GONE)
    ask(world, query(WRITE, primary=True))
    assert [one.repeated for _, one, _ in world.asked] == [False, False]


@pytest.mark.parametrize("last", [StorageFull("/data", "no space left"), Overloaded("queries", 3)])
def test_a_refusal_of_the_second_attempt_says_nothing_of_the_first(last: Error) -> None:
    world = World()
    world.on(PRIMARY, LOST, failed(last))
    error = fail(world, query(WRITE, primary=True))
    assert type(error) is OutcomeUnknown
    assert error.args == (NAME, "it: the connection ended")


def test_a_write_that_may_have_run_is_unknown_when_its_time_is_up() -> None:
    world = World()
    world.on(PRIMARY, LOST, *[GONE] * 1000)
    assert type(fail(world, query(WRITE, primary=True, seconds=3.0))) is OutcomeUnknown


def test_what_is_said_of_the_query_itself_ends_a_second_attempt() -> None:
    world = World()
    world.on(PRIMARY, LOST, failed(StatementError("no"), 5))
    assert ask(world, query(WRITE, primary=True)).answer == failed(StatementError("no"), 5)


def test_a_write_that_nobody_remembers_is_unknown_if_another_attempt_may_have_run() -> None:
    world = World()
    world.on(PRIMARY, LOST, failed(KeyForgotten(NAME), 9))
    error = fail(world, query(WRITE, primary=True))
    assert type(error) is OutcomeUnknown
    assert error.args == (NAME, "it: the connection ended")
    assert world.actors == [PRIMARY, PRIMARY]


@pytest.mark.parametrize("actor", [NEAR, PRIMARY])
def test_the_only_attempt_is_made_again_with_what_was_seen_by_now(actor: str) -> None:
    world = World()
    world.on(actor, failed(KeyForgotten(NAME), 9))
    ask(world, query(WRITE, primary=actor == PRIMARY))
    assert [(one.since, one.repeated) for _, one, _ in world.asked] == [("", False), (mark(9), False)]


def test_a_script_whose_answer_was_lost_is_reported_and_never_repeated() -> None:
    world = World()
    world.on(PRIMARY, LOST)
    script = Query(DATABASE, Mode.SCRIPT, (Statement(f"{WRITE};{WRITE}"),), "", 30.0)
    error = fail(world, script)
    assert type(error) is OutcomeUnknown
    assert error.args == (NAME, "it: the connection ended")
    assert world.actors == [PRIMARY]
    assert world.asked[0][1].key == b""


@pytest.mark.parametrize(
    "lost", [LOST, failed(OutcomeUnknown(NAME, "not confirmed"))], ids=["lost", "unknown"]
)
def test_a_read_whose_answer_was_lost_is_repeated_elsewhere(lost: Step) -> None:
    world = World()
    world.on(NEAR, world.answer(query(READ), NEAR), lost)
    assert ask(world, query(READ), query(READ)).attempts == 2
    assert world.actors == [NEAR, FAR]


def test_a_damaged_copy_is_passed_over_for_a_read() -> None:
    world = World()
    world.on(NEAR, world.answer(query(READ), NEAR), failed(Corrupt("a page", "7", "digest")))
    ask(world, query(READ), query(READ))
    assert world.actors == [NEAR, FAR]


def test_a_primary_that_keeps_a_write_to_itself_is_given_up_after_the_deadline() -> None:
    world = World()
    world.on(PRIMARY, HANG, HANG)
    assert type(fail(world, query(WRITE, primary=True, seconds=3.0))) is OutcomeUnknown
    assert world.cancelled == [PRIMARY]
    assert seconds_of(world, query(WRITE, primary=True, seconds=3.0)) == 3.0 + limits.ANSWER_GRACE_SECONDS


def test_a_read_that_nobody_answers_did_nothing() -> None:
    world = World()
    world.on(NEAR, world.answer(query(READ), NEAR))
    for actor in (NEAR, FAR, PRIMARY):
        world.on(actor, HANG)
    error = fail(world, query(READ), query(READ))
    assert isinstance(error, Unreachable)
    assert sorted(world.actors) == sorted([NEAR, FAR, PRIMARY])


# Silence


def test_a_read_that_a_stopped_copy_does_not_answer_is_asked_of_the_next_too() -> None:
    world = World()
    world.on(NEAR, world.answer(query(READ), NEAR), HANG)
    assert seconds_of(world, query(READ), query(READ)) == limits.READ_ATTEMPT_SECONDS
    assert world.actors[1:] == [NEAR, FAR]
    assert world.cancelled == [NEAR]


def test_a_slow_read_is_not_given_up_for_being_slow() -> None:
    world = World()
    slow = After(12.0, world.answer(query(READ), NEAR))
    world.on(NEAR, world.answer(query(READ), NEAR), slow)
    world.on(FAR, HANG)
    world.on(PRIMARY, HANG)
    reply = ask(world, query(READ), query(READ))
    assert isinstance(reply.answer, Answer)
    assert reply.answer.served_by == NEAR
    assert world.actors == [NEAR, FAR, PRIMARY]
    assert world.cancelled == [FAR, PRIMARY]


def test_a_slow_read_of_the_primary_is_asked_once() -> None:
    world = World()
    good = world.answer(query(READ, primary=True))
    world.on(PRIMARY, good, After(20.0, good))
    assert ask(world, query(READ, primary=True), query(READ, primary=True)).attempts == 1


def test_a_primary_that_is_silent_or_gone_is_reported_again_and_again() -> None:
    for steps in ([HANG], [GONE] * 1000):
        world = World()
        world.on(PRIMARY, *steps)
        seconds_of(world, query(WRITE, primary=True))
        gaps = [b - a for a, b in zip(world.reported, world.reported[1:], strict=False)]
        assert 5 <= len(world.reported) <= 7
        assert all(limits.MISSED_SECONDS <= gap < limits.MISSED_SECONDS + 1 for gap in gaps)


def test_nobody_is_reported_for_a_replica_that_is_silent() -> None:
    world = World()
    world.on(NEAR, HANG)
    fail(world, query(READ))
    assert world.reported == []


# Routes


def test_without_a_directory_the_route_that_was_known_goes_on() -> None:
    async def scenario() -> None:
        world = World()
        world.on(PRIMARY, After(0.1, GONE))
        asked = asyncio.create_task(world.router().ask(query(WRITE, primary=True)))
        await asyncio.sleep(0.05)
        world.route_error = Unreachable("routing", "gone")
        assert (await asked).attempts == 2

    run(scenario())


def test_without_any_route_the_directory_is_asked_until_the_deadline() -> None:
    world = World()
    world.route_error = Unreachable("routing", "gone")
    assert isinstance(fail(world, query(READ, seconds=2.0)), Unreachable)
    assert world.asked == []
    assert world.routed > 3


def test_a_directory_that_hangs_is_given_up_at_the_deadline() -> None:
    world = World()
    world.route_delay = 1e6
    assert isinstance(fail(world, query(READ, seconds=2.0)), Unreachable)
    assert seconds_of(world, query(READ, seconds=2.0)) == 2.0 + limits.ANSWER_GRACE_SECONDS


def test_a_database_that_is_gone_is_told_at_once_if_the_directory_says_so() -> None:
    world = World()
    world.route_error = DatabaseNotFound(NAME)
    assert isinstance(fail(world, query(READ)), DatabaseNotFound)
    assert world.routed == 1


def test_another_database_of_the_same_name_is_never_asked() -> None:
    world = World()
    world.database_id = "another"
    assert isinstance(fail(world, query(READ)), DatabaseNotFound)
    assert world.asked == []
    world.database_id = DATABASE
    ask(world, query(READ))


# Ends


def test_cancelling_ends_every_attempt_and_report() -> None:
    async def scenario() -> None:
        world = World()
        router: Router = world.router()
        await router.ask(query(READ))
        for actor in (NEAR, FAR, PRIMARY):
            world.on(actor, HANG)
        asked = asyncio.create_task(router.ask(query(READ)))
        await asyncio.sleep(3 * limits.READ_ATTEMPT_SECONDS)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert sorted(world.cancelled) == sorted([NEAR, FAR, PRIMARY])
        assert world.under_way == 0

    run(scenario())


_ERRORS: list[Step] = [
    GONE, LOST, failed(GONE), failed(NotPrimary(NAME, 1)), failed(NoQuorum(NAME, 1, 3)), failed(Overloaded("it", 1)),
    failed(KeyForgotten(NAME), 3), failed(OutcomeUnknown(NAME, "?")), failed(Corrupt("it", "here", "?")),
    failed(StatementError("no")), HANG, After(7.0, failed(GONE)), After(7.0, LOST),
]  # fmt: skip
_POSSIBLY_RUN = (LOST, failed(OutcomeUnknown(NAME, "?")), HANG)
_SCRIPTS = st.dictionaries(
    st.sampled_from([NEAR, FAR, PRIMARY]), st.lists(st.sampled_from(_ERRORS), max_size=4)
)


@given(_SCRIPTS, st.booleans())
def test_a_write_that_may_have_run_is_only_repeated_as_such_and_never_called_not_run(
    scripts: dict[str, list[Step]], primary: bool
) -> None:
    world = World()

    async def scenario() -> Reply | BaseException:
        for actor, steps in scripts.items():
            world.on(actor, *steps)
        began = now()
        asked = world.router().ask(query(WRITE, primary=primary))
        [found] = await asyncio.gather(asked, return_exceptions=True)
        assert now() - began <= 30.0 + limits.ANSWER_GRACE_SECONDS
        return found

    given_steps = {actor: list(steps) for actor, steps in scripts.items()}
    found = run(scenario())
    doubt = False
    for actor, sent, _ in world.asked:
        assert sent.repeated == doubt
        assert not doubt or actor == PRIMARY
        step = given_steps[actor].pop(0) if given_steps.get(actor) else None
        doubt = doubt or step in _POSSIBLY_RUN or step == After(7.0, LOST)
    assert len({one.key for _, one, _ in world.asked}) == 1
    assert world.most_under_way == 1
    certain = isinstance(found, Reply) and found.answer in (failed(StatementError("no")), world.answered)
    assert certain or isinstance(found, OutcomeUnknown) == doubt


@given(_SCRIPTS, st.booleans())
def test_every_query_ends_in_time_with_an_answer_or_an_error(
    scripts: dict[str, list[Step]], primary: bool
) -> None:
    world = World()

    async def scenario() -> Reply | BaseException:
        router = world.router()
        await router.ask(query(READ))
        for actor, steps in scripts.items():
            world.on(actor, *steps)
        began = now()
        [found] = await asyncio.gather(router.ask(query(READ, primary=primary)), return_exceptions=True)
        assert now() - began <= 30.0 + limits.ANSWER_GRACE_SECONDS
        return found

    found = run(scenario())
    assert isinstance(found, Reply | Error)
    assert not isinstance(found, OutcomeUnknown), "a read has no outcome that could be unknown"
