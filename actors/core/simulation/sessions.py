"""Clients: each has one query at a time under way, near or at the primary, and hands its bookmark on now and then."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from raylite.actors.core.simulation.checkers import Checkers
from raylite.actors.core.simulation.entries import FIRST_PAGE, PAGES
from raylite.actors.core.simulation.history import Kind, Operation, Outcome
from raylite.actors.core.simulation.network import Network
from raylite.actors.core.simulation.primaries import Primary
from raylite.actors.core.simulation.replicas import Replica
from raylite.actors.core.simulation.requests import Answer, Request
from raylite.actors.core.simulation.world import Process, World
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Error, OutcomeUnknown, Unavailable
from raylite.policies.query import Mode, Query
from raylite.policies.session import FIRST_PRIMARY, FIRST_UNCONSTRAINED, PRIMARY_ONLY, SessionState, begin

RETRY_SECONDS = (0.02, 0.3)
GRACE_SECONDS = 0.5


class Clients(Protocol):
    """What a session needs of the system."""

    world: World
    network: Network
    checkers: Checkers
    stopping: bool

    def primary(self) -> Process | None:
        """The newest primary's process."""
        ...

    def replica(self, index: int) -> Process:
        """The newest process of this replica."""
        ...

    def report_missing(self) -> None:
        """Somebody has missed the primary for two leases."""
        ...

    def next_write(self) -> int:
        """A number for a write, never given before."""
        ...

    def think_seconds(self) -> float:
        """How long a client waits before its next query."""
        ...

    def somebody(self) -> Session:
        """A session, any."""
        ...


class Session(Process):
    """One client and the sessions that it has one after the other.

    writes: share of writes among its queries; stubborn: it goes on asking a primary that is silent; repeats: it sends
    a write again whose answer was lost.
    """

    def __init__(self, around: Clients, name: str, replica: int) -> None:
        super().__init__(around.world, name)
        self.around, self._replica = around, replica
        random = self.world.random
        self.writes = random.uniform(0.4, 0.9)
        self.seconds = random.uniform(1.5, 6.0)
        self.state = SessionState()
        self.floor = 0
        self.count = 0
        self._thought = 0
        self._thinking = False
        self.stubborn = self.world.chance(0.3)
        self.repeats = self.world.chance(0.7)
        self.errand: Errand | None = None
        self.known_primary: Process | None = None
        self.start(random.choice((FIRST_UNCONSTRAINED, FIRST_PRIMARY)))
        self._think(random.random() * 0.1)

    @property
    def label(self) -> str:
        """The name of the session that goes on now."""
        return f"{self.name}.{self.count}"

    def start(self, constraint: str) -> None:
        """Begins the next session."""
        self.count += 1
        self.state = begin(constraint)
        self.floor = self.state.bookmark.sequence if self.state.bookmark else 0

    def next(self) -> None:
        """Asks the next query, unless it is time to end."""
        if self.around.stopping:
            return
        random = self.world.random
        if self.world.chance(0.03):
            self.start(random.choice((FIRST_UNCONSTRAINED, FIRST_PRIMARY)))
        elif self.world.chance(0.04):
            other = self.around.somebody().state.bookmark
            self.start(str(other) if other else FIRST_UNCONSTRAINED)
        elif self.world.chance(0.01):
            self.count, self.state, self.floor = self.count + 1, PRIMARY_ONLY, 0
        self.ask()

    def ask(self) -> None:
        """Makes a query and sends it."""
        kind = Kind.READ if not self.world.chance(self.writes) else Kind.WRITE
        if kind is Kind.READ and self.world.chance(0.1):
            kind = Kind.FAIL
        self.errand = Errand(self, self._operation(kind))
        self.errand.send()

    def _operation(self, kind: Kind) -> Operation:
        random = self.world.random
        if kind is Kind.WRITE:
            pages = sorted(
                {FIRST_PAGE, *(random.randint(2, PAGES) for _ in range(random.choice((1, 1, 2, 5))))}
            )
            operation = Operation(self.label, kind, self.around.next_write(), pages)
            if self.world.chance(0.1):
                operation.per_piece = 1
        else:
            operation = Operation(self.label, kind, 0, [random.randint(2, PAGES)])
        operation.floor, operation.latest = self.floor, self.around.checkers.latest
        operation.started = self.world.now
        self.around.checkers.operations.append(operation)
        return operation

    def target(self, operation: Operation) -> Process | None:
        """Whom to ask: the primary that this client knows, or its replica."""
        forwarded = operation.kind is Kind.WRITE and self.world.chance(0.2)
        if (operation.kind is Kind.WRITE or operation.primary) and not forwarded:
            self.known_primary = self.known_primary or self.around.primary()
            return self.known_primary
        return self.around.replica(self._replica)

    def doubt_primary(self) -> None:
        """The primary was silent; a stubborn client stays with it as long as its connection stands."""
        if not self.stubborn or self.known_primary is None or not self.known_primary.alive:
            self.known_primary = None

    def forget_primary(self) -> None:
        """The next one that is asked is resolved anew."""
        self.known_primary = None

    def ended(self, operation: Operation, bookmark: Bookmark | None) -> None:
        """The query is over."""
        operation.ended = self.world.now
        if bookmark is not None:
            self.state = self.state.advance(str(bookmark))
            if not self.state.stays:
                self.floor = max(self.floor, bookmark.sequence)
        self._think(self.around.think_seconds())

    def _think(self, seconds: float) -> None:
        self._thought += 1
        self._thinking = True
        self.after(seconds, partial(self._decide, self._thought))

    def _decide(self, thought: int) -> None:
        if thought == self._thought:
            self._thinking = False
            self.next()

    def hurry(self) -> None:
        """Whoever thinks stops thinking."""
        if self._thinking:
            self._think(0.01 * self.world.random.random())


class Errand:
    """One query on its way: repeated while it is certain that it did not run, or by its key.

    doubt: an attempt may have run.
    """

    def __init__(self, session: Session, operation: Operation) -> None:
        self._session, self.operation = session, operation
        blank = Query("", Mode.RUN, (), "", session.seconds)
        stamped = session.state.stamp(blank)
        self._bookmark = Bookmark.parse(stamped.bookmark) if stamped.bookmark else None
        operation.primary = stamped.primary
        self._deadline = session.now() + session.seconds
        operation.deadline = session.world.now + session.seconds * 1.1
        self._since = self._bookmark.sequence if self._bookmark else 0
        self._attempt = 0
        self._doubt = False
        self._target: Process | None = None
        session.after(session.seconds + GRACE_SECONDS, self._time_out)

    def send(self) -> None:
        """Asks whoever should know."""
        session = self._session
        if self.operation.outcome is not Outcome.PENDING:
            return
        left = self._deadline - session.now()
        if left <= 0:
            self._end(Outcome.UNKNOWN if self._doubt else Outcome.REFUSED)
            return
        self._attempt += 1
        target = session.target(self.operation)
        if target is None or not target.alive:
            session.forget_primary()
            self._later()
            return
        self._target = target
        request = Request(
            self.operation, self._bookmark, left, self._since, partial(self._reply, target, self._attempt)
        )  # fmt: skip
        action = partial(_query, target, request)
        session.around.network.call(session, target, action, partial(self._lost, self._attempt))
        if self.operation.kind is not Kind.WRITE or session.repeats:
            session.after(1.0, partial(self._lost, self._attempt))

    def _reply(self, target: Process, attempt: int, answer: Answer | Error) -> None:
        """An actor answers; the answer travels."""
        session = self._session
        lost = partial(self._nothing)
        session.around.network.call(target, session, partial(self._take, attempt, answer), lost)

    def _nothing(self) -> None:
        """An answer that did not arrive is missed by who asked."""

    def died(self, process: Process) -> None:
        """The connection to a process that is gone ends."""
        if process is self._target:
            seconds = 0.05 * self._session.world.random.random()
            self._session.after(seconds, partial(self._lost, self._attempt))

    def _lost(self, attempt: int) -> None:
        """No answer will come, or none that is worth waiting for."""
        if attempt != self._attempt or self.operation.outcome is not Outcome.PENDING:
            return
        self._session.doubt_primary()
        self._outcome_unknown()

    def _outcome_unknown(self) -> None:
        """The attempt may have run."""
        if self.operation.kind is Kind.WRITE:
            self._doubt = True
        if self._doubt and not self._session.repeats:
            self._end(Outcome.UNKNOWN)
        else:
            self._later()

    def _later(self) -> None:
        self._session.after(self._session.world.random.uniform(*RETRY_SECONDS), self.send)

    def _take(self, attempt: int, answer: Answer | Error) -> None:
        operation = self.operation
        if operation.outcome is not Outcome.PENDING:
            return
        if isinstance(answer, Answer) and answer.forgotten:
            self._forgotten(attempt, answer)
        elif isinstance(answer, Answer):
            operation.by_primary, operation.bookmark = answer.by_primary, answer.bookmark
            operation.seen, operation.value = answer.seen, answer.value
            self._session.around.checkers.told(operation)
            self._end(Outcome.DONE)
        elif attempt != self._attempt:
            return
        elif isinstance(answer, OutcomeUnknown):
            self._outcome_unknown()
        elif isinstance(answer, Unavailable):
            self._session.forget_primary()
            self._later()
        else:
            self._session.around.checkers.violated("session", f"{answer} for {operation}")
            self._end(Outcome.REFUSED)

    def _forgotten(self, attempt: int, answer: Answer) -> None:
        """This attempt was not run. Without another that may have been, what is known of by now counts."""
        if self._doubt:
            self._end(Outcome.UNKNOWN)
        elif attempt == self._attempt:
            self._since = answer.bookmark.sequence
            self._later()

    def _time_out(self) -> None:
        if self.operation.outcome is Outcome.PENDING:
            self._session.doubt_primary()
            self._session.around.report_missing()
            sent = self.operation.kind is Kind.WRITE and self._attempt
            self._end(Outcome.UNKNOWN if sent else Outcome.REFUSED)

    def _end(self, outcome: Outcome) -> None:
        self.operation.outcome = outcome
        self._session.ended(self.operation, self.operation.bookmark)


def _query(target: Process, request: Request) -> None:
    assert isinstance(target, Primary | Replica), "only these answer queries"
    target.query(request)
