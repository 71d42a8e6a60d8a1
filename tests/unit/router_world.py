"""A world for routers: a database with a primary and two replicas that answer as a test scripts it."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from tests.unit.virtual_loop import now

from raylite.actors.stream import to_failure
from raylite.policies.bookmark import origin
from raylite.policies.errors import Error, NoReply, Unreachable
from raylite.policies.query import Answer, Failure, Mode, Query, Rows, Statement, StatementMeta, Value
from raylite.policies.routing import Candidate
from raylite.policies.status import Restored, TimeSpan, Verified
from raylite.policies.transfer import TransferReply, TransferRequest
from raylite.router.client import AsyncDatabase, DatabaseInfo
from raylite.router.ports import Route
from raylite.router.router import Router

DATABASE = "0123456789abcdef"
NAME = "shop"
PRIMARY, NEAR, FAR = "primary:shop", "replica:shop:weur", "replica:shop:apac"
READ, WRITE = "SELECT 1", "INSERT INTO t VALUES (1)"


@dataclass(frozen=True)
class After:
    """A step that takes a while."""

    seconds: float
    step: Answer | Failure | Error


@dataclass(frozen=True)
class Once:
    """A step that is taken once something has happened elsewhere."""

    happened: threading.Event
    step: Answer | Failure | Error


Step = Answer | Failure | Error | After | Once
HANG = After(1e6, NoReply("nobody", "this should have been given up"))


class InOrder:
    """A routing policy that keeps the order given; `names` may be wrong."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def rank(self, caller_region: str, candidates: Sequence[Candidate]) -> list[Candidate]:
        return [Candidate(name, caller_region) for name in self.names]


class World:
    """Transport and directory. Each actor takes its scripted steps, then answers well.

    asked: what was sent to whom, and when; `reported`: when its primary was missed.
    """

    def __init__(self) -> None:
        self.policy = InOrder(NEAR, FAR, PRIMARY)
        self.route_error: Error | None = None
        self.route_delay = 0.0
        self.database_id = DATABASE
        self.primary = PRIMARY
        self.asked: list[tuple[str, Query, float]] = []
        self.cancelled: list[str] = []
        self.reported: list[float] = []
        self.routed = 0
        self.sequence = 0
        self.under_way = self.most_under_way = 0
        self.answered: Answer | None = None
        self._steps: dict[str, deque[Step]] = defaultdict(deque)

    def on(self, actor: str, *steps: Step) -> None:
        """What this actor does with the next queries."""
        self._steps[actor].extend(steps)

    @property
    def actors(self) -> list[str]:
        """Who was asked, in order."""
        return [actor for actor, _, _ in self.asked]

    def router(self) -> Router:
        return Router(NAME, "weur", self, self)

    def database(self, seconds: float = 30.0) -> AsyncDatabase:
        return AsyncDatabase(self.router(), DATABASE, self, seconds)

    # Desk

    async def describe(self) -> DatabaseInfo:
        return DatabaseInfo(NAME, DATABASE, "enam", ("weur", "apac"), ())

    async def moment(self, time_us: int) -> str:
        return mark(time_us // 1_000_000)

    async def restore(self, bookmark: str) -> Restored:
        return Restored(mark(10), bookmark)

    async def fork(self, name: str, bookmark: str) -> AsyncDatabase:
        self.forked = (name, bookmark)
        return AsyncDatabase(Router(name, "weur", self, self), "another", self)

    async def verify(self) -> Verified:
        return Verified(mark(9), 1, "00", ())

    async def span(self) -> TimeSpan:
        return TimeSpan(mark(1), 1_000_000, mark(9), 9_000_000)

    # Transport

    async def ask(self, actor: str, query: Query, seconds: float) -> Answer | Failure:
        assert query.seconds == seconds
        self.asked.append((actor, query, now()))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self._act(actor, query)
        except asyncio.CancelledError:
            self.cancelled.append(actor)
            raise
        finally:
            self.under_way -= 1

    async def _act(self, actor: str, query: Query) -> Answer | Failure:
        steps = self._steps[actor]
        if steps:
            step: Step = steps.popleft()
        else:
            step = self.answered = self.answer(query, actor)
        if isinstance(step, Once):
            while not step.happened.is_set():
                await asyncio.sleep(0.001)
            step = step.step
        if isinstance(step, After):
            await asyncio.sleep(step.seconds)
            step = step.step
        if isinstance(step, Error):
            raise step
        return step

    def answer(self, query: Query, actor: str = PRIMARY) -> Answer:
        """What an actor that is well says: a write is forwarded by whoever is not the primary."""
        wrote = any(one.sql.startswith("INSERT") for one in query.statements)
        by = PRIMARY if wrote or query.primary else actor
        self.sequence += wrote
        rows = [ok(one) for one in query.statements]
        return Answer(
            rows, mark(self.sequence), by, "enam" if by == PRIMARY else "weur", by == PRIMARY, wrote
        )

    async def request(self, actor: str, request: TransferRequest, seconds: float) -> TransferReply | None:
        raise Unreachable(actor, "it has no files")

    # Directory

    async def route(self, name: str) -> Route:
        self.routed += 1
        await asyncio.sleep(self.route_delay)
        if self.route_error is not None:
            raise self.route_error
        copies = [
            Candidate(NEAR, "weur"),
            Candidate(FAR, "apac"),
            Candidate(self.primary, "enam", primary=True),
        ]
        return Route(self.database_id, name, self.primary, tuple(copies), self.policy)

    async def missed(self, name: str) -> None:
        self.reported.append(now())


def ok(statement: Statement) -> Rows:
    """The rows of a statement: an INSERT changes one row, anything else gives its own text."""
    if statement.sql.startswith("INSERT"):
        return Rows((), [], meta(changes=1, changed_db=True))
    return rows(("sql",), (statement.sql,))


def rows(columns: tuple[str, ...], *found: tuple[Value, ...]) -> Rows:
    return Rows(columns, list(found), meta(changes=0, changed_db=False))


def meta(*, changes: int, changed_db: bool) -> StatementMeta:
    return StatementMeta(0.5, changes, 7, changed_db, 8192, 1, None)


def mark(sequence: int) -> str:
    """A bookmark of the database's history."""
    return str(msgspec.structs.replace(origin(DATABASE), epoch=1, sequence=sequence))


def failed(error: Error, sequence: int | None = None) -> Failure:
    """An error as an actor answers it."""
    return to_failure(error, "" if sequence is None else mark(sequence))


def query(*sql: str, primary: bool = False, seconds: float = 30.0) -> Query:
    mode = Mode.RUN if len(sql) == 1 else Mode.BATCH
    return Query(DATABASE, mode, tuple(Statement(one) for one in sql), "", seconds, primary)
