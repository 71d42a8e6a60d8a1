"""The client API without a loop of one's own: on real threads and real time, with a world that answers at once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.unit.router_world import NEAR, PRIMARY, READ, WRITE, After, Once, World, failed, mark

from raylite.policies import limits
from raylite.policies.errors import NoReply, OutcomeUnknown, ParameterError, StatementError, StorageFull
from raylite.policies.query import Mode, Query, Statement
from raylite.router import sync
from raylite.router.background import Background
from raylite.router.sync import Database

SOON = 10.0
"""Seconds in which whatever a test waits for has certainly happened."""


@pytest.fixture
def background(monkeypatch: pytest.MonkeyPatch) -> Iterator[Background]:
    """A background loop for this test alone, which must leave nothing running."""
    own = Background()
    monkeypatch.setattr(sync, "background", own)
    yield own
    if own.running is not None:
        wait_until(lambda: not own.run(_others(), SOON))
        own.stop()


async def _others() -> list[str]:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    return [repr(one) for one in tasks]


@pytest.fixture
def world(background: Background) -> World:
    return World()


def database(world: World) -> Database:
    async def make() -> Database:
        return Database(world.database())

    return sync.background.run(make(), SOON)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.001)


def test_the_whole_interface_works_without_a_loop(world: World) -> None:
    db = database(world)
    assert db.prepare(WRITE).bind(1, "a").run().meta.served_by == PRIMARY
    assert [one.meta.changes for one in db.batch([db.prepare(WRITE), db.prepare(READ)])] == [1, 0]
    assert len(db.exec("SELECT 1; SELECT 2")) == 1
    assert db.info().name == "shop"
    session = db.with_session()
    assert session.prepare(READ).all().results == [{"sql": READ}]
    assert session.prepare(READ).first() == {"sql": READ}
    assert session.prepare(READ).first("sql") == READ
    assert session.prepare(READ).raw(column_names=True) == [["sql"], [READ]]
    assert session.batch([session.prepare(READ)])[0].meta.served_by == NEAR
    assert session.bookmark == session.get_bookmark() == mark(world.sequence)
    assert (db.name, db.region) == ("shop", "weur")


def test_errors_come_out_as_they_are(world: World) -> None:
    world.on(PRIMARY, failed(StatementError("no such table: t")))
    with pytest.raises(StatementError, match="no such table: t"):
        database(world).prepare(READ).all()
    with pytest.raises(ParameterError):
        database(world).prepare(READ).bind(2**63)
    with pytest.raises(ParameterError):
        database(world).prepare(READ).all(timeout=-1)


def test_a_session_shared_by_threads_runs_one_query_at_a_time(world: World) -> None:
    session = database(world).with_session()

    def ask(n: int) -> object:
        return session.prepare(f"SELECT {n}").first("sql")

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(ask, range(100)))
    assert found == [f"SELECT {n}" for n in range(100)]
    assert world.most_under_way == 1


def test_databases_of_many_threads_share_one_loop(world: World, background: Background) -> None:
    def loop_of(_: int) -> int:
        return id(background.loop)

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(loop_of, range(50)))) == 1


def test_an_interrupt_ends_the_wait_and_the_session_stays_usable_and_in_order(world: World) -> None:
    session = database(world).with_session()
    world.on(NEAR, After(0.2, world.answer(_query())))
    killer = threading.Thread(target=_interrupt_when, args=(lambda: world.under_way,))
    killer.start()
    with pytest.raises(KeyboardInterrupt):
        session.prepare(WRITE).run()
    killer.join()
    session.prepare(READ).all()
    assert session.bookmark == mark(1)
    assert [one.bookmark for _, one, _ in world.asked] == ["", mark(1)]
    assert world.most_under_way == 1


def test_an_interrupted_query_whose_turn_has_not_come_never_runs(world: World) -> None:
    session = database(world).with_session()
    interrupted = threading.Event()
    world.on(NEAR, Once(interrupted, world.answer(_query())))
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(session.prepare(WRITE).run)
        wait_until(lambda: world.under_way)
        killer = threading.Thread(target=_interrupt_when, args=(_two_wait,))
        killer.start()
        with pytest.raises(KeyboardInterrupt):
            session.prepare("INSERT INTO t VALUES (2)").run()
        killer.join()
        wait_until(lambda: not _two_wait())
        interrupted.set()
        first.result(SOON)
    session.prepare(READ).all()
    assert [one.statements[0].sql for _, one, _ in world.asked] == [WRITE, READ]


def test_an_interrupt_between_handing_over_and_waiting_cancels_too(
    world: World, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = database(world).with_session()
    loop = background.loop
    with monkeypatch.context() as patch:
        patch.setattr(background, "_loop", _InterruptsTheCaller(loop))
        with pytest.raises(KeyboardInterrupt):
            session.prepare(WRITE).run()
    session.prepare(READ).all()
    assert [one.statements[0].sql for _, one, _ in world.asked] == [READ]


class _InterruptsTheCaller:
    """An event loop as a thread sees it that is interrupted just when it has handed over its work."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def call_soon_threadsafe(self, *what: Callable[..., object]) -> None:
        gate = threading.Event()
        self._loop.call_soon_threadsafe(gate.wait)
        self._loop.call_soon_threadsafe(*what)
        threading.Timer(0.05, gate.set).start()
        raise KeyboardInterrupt


def _two_wait() -> bool:
    return sum("AsyncStatement.run" in one for one in sync.background.run(_others(), SOON)) == 2


def _interrupt_when(condition: Callable[[], object]) -> None:
    wait_until(condition)
    os.kill(os.getpid(), signal.SIGINT)


def _query() -> Query:
    return Query("", Mode.RUN, (Statement(WRITE),), "", 1.0)


def test_a_call_on_the_loops_own_thread_is_refused_and_does_not_hang(
    world: World, background: Background
) -> None:
    db = database(world)

    async def inside() -> None:
        db.prepare(READ).all()

    with pytest.raises(RuntimeError, match="await instead"):
        background.run(inside(), SOON)


def test_a_loop_that_gives_no_answer_is_not_waited_for(background: Background) -> None:
    stuck = threading.Event()
    background.loop.call_soon_threadsafe(stuck.wait, SOON)
    with pytest.raises(OutcomeUnknown, match=r"within 0\.05 s"):
        background.run(asyncio.sleep(0), 0.05)
    stuck.set()


def test_a_time_out_of_the_work_itself_is_its_own(background: Background) -> None:
    async def work() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        background.run(work(), SOON)


def test_stopping_ends_waits_and_the_next_use_starts_anew(background: Background) -> None:
    loop = background.loop
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(background.run, asyncio.sleep(SOON), SOON)
        wait_until(lambda: background.run(_others(), SOON))
        background.stop()
        with pytest.raises(OutcomeUnknown, match="left the system"):
            waiting.result(SOON)
    assert background.running is None
    assert background.run(asyncio.sleep(0, "again"), SOON) == "again"
    assert background.loop is not loop


@pytest.mark.filterwarnings(
    "ignore:.*fork:DeprecationWarning"
)  # from 3.12 on: threads are what this is about
def test_a_forked_child_starts_a_loop_of_its_own(background: Background) -> None:
    assert background.run(asyncio.sleep(0, 1), SOON) == 1
    child = os.fork()
    if child == 0:
        answer = 1
        try:
            answer = background.run(asyncio.sleep(0, 0), SOON)
        finally:
            os._exit(answer)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_lost_answer_is_unknown_and_within_its_time(world: World) -> None:
    world.on(PRIMARY, NoReply("it", "the connection ended"), StorageFull("/data", "no space left"))
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        database(world).prepare(WRITE).run(timeout=limits.QUERY_SECONDS)
    assert time.monotonic() - began < SOON
