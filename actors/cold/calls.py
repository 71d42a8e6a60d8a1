"""Calls that end by a deadline, also if what they call hangs, as a network file system can."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from raylite.policies.errors import Unreachable
from raylite.policies.limits import COLD_HANGING_CALLS

T = TypeVar("T")


class Calls:
    """Runs each call on a thread of its own, which is left behind if it does not come back.

    A bounded number of threads may be left behind; beyond it no call is made before one of them ends.
    """

    def __init__(self, what: str, bound: int = COLD_HANGING_CALLS) -> None:
        self._what, self._bound = what, bound
        self._lock = threading.Lock()
        self._hanging = 0

    def run(self, call: Callable[[], T], seconds: float) -> T:
        """What `call` returns or raises; raises `Unreachable` if that takes longer than `seconds`."""
        with self._lock:
            if self._hanging >= self._bound:
                raise Unreachable(self._what, f"{self._hanging} calls hang already")
        running = _Running(call, self._ended)
        if not running.done.wait(seconds) and self._left(running):
            raise Unreachable(self._what, f"no answer within {seconds:g} s")
        return running.result()

    def _left(self, running: _Running[T]) -> bool:
        """Notes a call that is past its deadline, unless it has just ended."""
        with self._lock:
            if running.done.is_set():
                return False
            running.late = True
            self._hanging += 1
            return True

    def _ended(self, running: _Running[T]) -> None:
        with self._lock:
            running.done.set()
            if running.late:
                self._hanging -= 1


class _Running(Generic[T]):
    """A call under way."""

    def __init__(self, call: Callable[[], T], ended: Callable[[_Running[T]], None]) -> None:
        self.done = threading.Event()
        self.late = False
        self._call, self._ended = call, ended
        self._found: list[T] = []
        self._error: BaseException | None = None
        # A daemon, so that a hanging store does not keep the process from ending.
        threading.Thread(target=self._run, name="cold-storage", daemon=True).start()

    def result(self) -> T:
        """What came back; only once `done` is set."""
        if self._error is not None:
            raise self._error
        return self._found[0]

    def _run(self) -> None:
        try:
            self._found.append(self._call())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._error = error
        finally:
            self._ended(self)
