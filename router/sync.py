"""The client API for callers without an event loop: everything runs on one background loop of this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from typing import TypeVar

import uvloop

from raylite.policies.query import Value
from raylite.policies.session import FIRST_UNCONSTRAINED
from raylite.router.client import AsyncDatabase, AsyncSession, AsyncStatement, Bindable, DatabaseInfo
from raylite.router.result import Result, Row

T = TypeVar("T")


class Background:
    """A thread with an event loop, started when it is first needed; for all threads of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        with self._lock:
            if self._loop is None:
                self._loop = uvloop.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="raylite", daemon=True).start()
            return self._loop

    @property
    def running(self) -> asyncio.AbstractEventLoop | None:
        """The loop if it was started."""
        return self._loop

    def run(self, work: Coroutine[object, object, T]) -> T:
        """The coroutine's result; an interrupt of the caller cancels it."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise


background = Background()


class Statement:
    """As `AsyncStatement`, without awaiting."""

    def __init__(self, inner: AsyncStatement) -> None:
        self._inner = inner

    def bind(self, *values: Bindable) -> Statement:
        """The statement with these values for its parameters, in order; raises `ParameterError` for other types."""
        return Statement(self._inner.bind(*values))

    def all(self) -> Result:
        """Runs it: all its rows."""
        return background.run(self._inner.all())

    def run(self) -> Result:
        """Runs it: the same as `all`, the usual name for a statement that is run for what it does."""
        return background.run(self._inner.run())

    def first(self, column: str | None = None) -> Row | Value:
        """Runs it: the first row, or one column of it; None without rows."""
        return background.run(self._inner.first(column))

    def raw(self, column_names: bool = False) -> list[list[Value]]:
        """Runs it: its rows as lists, after the columns' names if they are wanted."""
        return background.run(self._inner.raw(column_names))

    @property
    def inner(self) -> AsyncStatement:
        """The statement that is awaited."""
        return self._inner


class Session:
    """As `AsyncSession`, without awaiting. Safe to share between threads: queries run in the order of the calls."""

    def __init__(self, inner: AsyncSession) -> None:
        self._inner = inner

    def prepare(self, sql: str) -> Statement:
        """A statement, compiled when it runs."""
        return Statement(self._inner.prepare(sql))

    def batch(self, statements: Sequence[Statement]) -> list[Result]:
        """Runs the statements in one transaction: all of them or, on any error, none."""
        return background.run(self._inner.batch([one.inner for one in statements]))

    @property
    def bookmark(self) -> str:
        """The newest entry that this session has seen, to carry on elsewhere with `with_session`; "" before any."""
        return self._inner.bookmark

    def get_bookmark(self) -> str | None:
        """`bookmark`, but None before any."""
        return self._inner.get_bookmark()


class Database:
    """As `AsyncDatabase`, without awaiting."""

    def __init__(self, inner: AsyncDatabase) -> None:
        self._inner = inner
        self.name, self.region = inner.name, inner.region

    def prepare(self, sql: str) -> Statement:
        """A statement for the primary, compiled when it runs."""
        return Statement(self._inner.prepare(sql))

    def batch(self, statements: Sequence[Statement]) -> list[Result]:
        """Runs the statements on the primary in one transaction: all of them or, on any error, none."""
        return background.run(self._inner.batch([one.inner for one in statements]))

    def exec(self, sql: str) -> list[Result]:
        """Runs a text of many statements on the primary, each in a transaction of its own; stops at an error."""
        return background.run(self._inner.exec(sql))

    def with_session(self, constraint: str = FIRST_UNCONSTRAINED) -> Session:
        """A new session; see `AsyncDatabase.with_session`."""
        return Session(self._inner.with_session(constraint))

    def info(self) -> DatabaseInfo:
        """Where the database is, and how its actors are."""
        return background.run(self._inner.info())
