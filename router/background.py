"""One event loop in a thread of its own, for callers without one."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import TypeVar

import uvloop

from raylite.policies import limits
from raylite.policies.errors import OutcomeUnknown

T = TypeVar("T")
_TURN_SECONDS = 0.5


class Background:
    """A thread with an event loop, started when it is first needed; for all threads of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.stop)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        with self._lock:
            if self._loop is None:
                self._loop = uvloop.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="raylite", daemon=True
                )
                self._thread.start()
            return self._loop

    @property
    def running(self) -> asyncio.AbstractEventLoop | None:
        """The loop if it was started."""
        return self._loop

    def run(self, work: Coroutine[object, object, T], seconds: float | None = None) -> T:
        """The coroutine's result; an interrupt of the caller cancels it.

        Raises `OutcomeUnknown` if it is cancelled by `stop`, or has no result after `seconds` (None: it has a
        deadline of its own).
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError(
                "called on raylite's own event loop, which would wait for itself: await instead"
            )
        answer: Future[T] = Future()
        try:
            self.loop.call_soon_threadsafe(_begin, work, answer)
            return _result(answer, float("inf") if seconds is None else seconds)
        except CancelledError:
            raise OutcomeUnknown("this process", "it left the system while a query was under way") from None
        finally:
            answer.cancel()

    def stop(self) -> None:
        """Cancels whatever runs and ends the thread; the next use starts another."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(limits.CLOSE_SECONDS)

    def _forget(self) -> None:
        """Begins anew in a forked child, which has the loop but not its thread."""
        self._lock = threading.Lock()
        self._loop = self._thread = None


def _begin(work: Coroutine[object, object, T], answer: Future[T]) -> None:
    """Runs the coroutine on the current loop for `answer`, which its caller may have given up at any instant.

    `asyncio.run_coroutine_threadsafe` makes the future itself: an interrupt before the caller holds it cancels nothing.
    """
    if answer.cancelled():
        work.close()
        return
    task = asyncio.ensure_future(work)
    loop = task.get_loop()
    answer.add_done_callback(lambda _: None if task.done() else _cancel_on(loop, task))
    task.add_done_callback(lambda _: _hand_over(task, answer))


def _result(answer: Future[T], seconds: float) -> T:
    """What it comes to; raises `OutcomeUnknown` after so long.

    It waits in short turns: one that begins just when an interrupt has come to another thread does not hear of it.
    """
    deadline = time.monotonic() + seconds
    while not answer.done():
        left = deadline - time.monotonic()
        if left <= 0:
            raise OutcomeUnknown("this process", f"its event loop gave no answer within {seconds:g} s")
        with contextlib.suppress(TimeoutError):  # the work's own is raised below
            return answer.result(min(left, _TURN_SECONDS))
    return answer.result()


def _cancel_on(loop: asyncio.AbstractEventLoop, task: asyncio.Task[T]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop was closed, and with it what ran there
        loop.call_soon_threadsafe(task.cancel)


def _hand_over(task: asyncio.Task[T], answer: Future[T]) -> None:
    """Gives what the task came to to whoever still waits for it."""
    failure = CancelledError() if task.cancelled() else task.exception()
    if not answer.set_running_or_notify_cancel():
        return
    if failure is None:
        answer.set_result(task.result())
    else:
        answer.set_exception(failure)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Runs the loop until it is stopped; what is under way then is cancelled."""
    asyncio.set_event_loop(loop)
    loop.run_forever()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()


background = Background()
