from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial

import pytest

from raylite.actors.storage.thread import DatabaseThread
from raylite.policies.errors import Overloaded, StatementError, Unreachable


def check(body: Callable[[], Coroutine[None, None, None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(body(), 20)

    asyncio.run(bounded())


def hold(began: threading.Event, gate: threading.Event) -> bool:
    began.set()
    return gate.wait(10)


def test_jobs_run_in_order_on_the_one_named_thread() -> None:
    async def body() -> None:
        thread = DatabaseThread("db-shop")
        seen: list[int] = []
        futures = [thread.run(partial(seen.append, number)) for number in range(100)]
        name = thread.run(lambda: threading.current_thread().name)
        await asyncio.gather(*futures)
        assert seen == list(range(100))
        assert await name == "db-shop"
        assert thread.waiting == 0
        await thread.stop(5)

    check(body)


def test_a_job_that_raises_gives_its_error_and_the_next_one_runs() -> None:
    async def body() -> None:
        thread = DatabaseThread("db")

        def fail() -> int:
            raise StatementError("no such table: t")

        failed, fine = thread.run(fail), thread.run(lambda: 5)
        with pytest.raises(StatementError, match="no such table"):
            await failed
        assert await fine == 5
        await thread.stop(5)

    check(body)


def test_a_quick_result_does_not_wait_for_a_slow_job_behind_it() -> None:
    async def body() -> None:
        thread = DatabaseThread("db")
        gate = threading.Event()
        quick, slow = thread.run(lambda: 1), thread.run(gate.wait)
        assert await quick == 1
        assert not slow.done()
        gate.set()
        await slow
        await thread.stop(5)

    check(body)


def test_more_jobs_than_the_limit_are_refused_and_room_comes_back() -> None:
    async def body() -> None:
        thread = DatabaseThread("db", limit=3)
        gate = threading.Event()
        futures = [thread.run(gate.wait) for _ in range(3)]
        with pytest.raises(Overloaded, match="3 wait already"):
            thread.run(lambda: True)
        gate.set()
        await asyncio.gather(*futures)
        assert await thread.run(lambda: 1) == 1
        await thread.stop(5)

    check(body)


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts how often another thread wakes it."""

    def __init__(self) -> None:
        super().__init__()
        self.wake_ups = 0

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.Handle:
        self.wake_ups += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


def test_results_that_end_before_the_loop_gets_to_them_share_one_wake_up() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CountingLoop)
        thread = DatabaseThread("db")
        futures: list[asyncio.Future[None]] = []
        for _ in range(50):  # holds the loop still; each job has ended before the next one goes in
            ended = threading.Event()
            futures.append(thread.run(ended.set))
            assert ended.wait(10)
        await asyncio.gather(*futures)
        assert loop.wake_ups <= 2
        await thread.stop(5)

    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        runner.run(body())


def test_a_cancelled_job_that_waits_never_runs() -> None:
    async def body() -> None:
        thread = DatabaseThread("db")
        gate, ran = threading.Event(), threading.Event()
        first, second = thread.run(gate.wait), thread.run(ran.set)
        second.cancel()
        gate.set()
        await first
        await thread.run(lambda: None)
        assert not ran.is_set()
        assert thread.waiting == 0
        await thread.stop(5)

    check(body)


def test_stop_ends_the_running_job_and_fails_those_that_wait() -> None:
    async def body() -> None:
        thread = DatabaseThread("db")
        began, gate = threading.Event(), threading.Event()
        running, waiting = thread.run(lambda: hold(began, gate)), thread.run(lambda: 1)
        assert began.wait(10)
        stopping = asyncio.ensure_future(thread.stop(5))
        await asyncio.sleep(0)
        with pytest.raises(Unreachable, match="stopping"):
            thread.run(lambda: 2)
        gate.set()
        await stopping
        assert await running is True
        with pytest.raises(Unreachable, match="stopping"):
            await waiting
        await thread.stop(5)
        assert not [one for one in threading.enumerate() if one.name == "db"]

    check(body)


def test_stop_says_so_when_the_running_job_takes_too_long() -> None:
    async def body() -> None:
        thread = DatabaseThread("db")
        began, gate = threading.Event(), threading.Event()
        running = thread.run(lambda: hold(began, gate))
        assert began.wait(10)
        with pytest.raises(Unreachable, match="still busy"):
            await thread.stop(0.02)
        gate.set()
        await thread.stop(5)
        assert await running is True

    check(body)


def test_a_thread_whose_loop_is_gone_ends_by_itself() -> None:
    made: list[DatabaseThread] = []
    gate = threading.Event()

    async def body() -> None:
        thread = DatabaseThread("orphan")
        made.append(thread)
        thread.run(gate.wait)

    asyncio.run(body())
    orphan = next(one for one in threading.enumerate() if one.name == "orphan")
    gate.set()
    orphan.join(10)
    assert not orphan.is_alive()
