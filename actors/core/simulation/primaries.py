"""A primary's process: the real `PrimaryCore`, with a made-up database thread, file and connections around it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import cast

from raylite.actors.core import leader as lead
from raylite.actors.core import primary as core
from raylite.actors.core.catching_up import Fetch, Forward, Rebase
from raylite.actors.core.keys import Keys
from raylite.actors.core.membership import Propose
from raylite.actors.core.queries import Respond, Waiting
from raylite.actors.core.shipping import Ship
from raylite.actors.core.simulation.checkers import Checker
from raylite.actors.core.simulation.cold import Archiving
from raylite.actors.core.simulation.copies import DatabaseFile
from raylite.actors.core.simulation.entries import FIRST_PAGE, Made, State, Writer, key
from raylite.actors.core.simulation.history import Kind, Operation
from raylite.actors.core.simulation.outgoing import Outgoing
from raylite.actors.core.simulation.ports import Surroundings
from raylite.actors.core.simulation.replaying import Replaying
from raylite.actors.core.simulation.requests import Answer, Request
from raylite.actors.core.simulation.world import Action, Process
from raylite.actors.core.takeover import Ask
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Error
from raylite.policies.quorum import Members

LATE_SECONDS = 0.5


class Directory:
    """A primary's directory: one living process has its lock; the file in it outlives processes."""

    def __init__(self, name: str, start: Bookmark, keys: Keys) -> None:
        self.id = name
        self.file = DatabaseFile(start, keys)
        self.owner: Process | None = None

    @property
    def is_free(self) -> bool:
        """Whether its lock can be had."""
        return self.owner is None or not self.owner.alive


class Primary(Process):
    """One process, one reign. Its database thread runs one job at a time; all else is its loop."""

    def __init__(self, around: Surroundings, name: str, directory: Directory, members: Members) -> None:
        super().__init__(around.world, name)
        self.around, self.directory = around, directory
        directory.owner = self
        self.core = around.cores.primary(
            around.database,
            name,
            members,
            directory.id,
            jitter=self.world.random.random(),
            bounds=around.bounds,
        )
        self.pages: State = {}
        self.keys = directory.file.keys
        self.pending: dict[int, tuple[Request, float]] = {}
        self.woke_at = self.world.now
        self._loop_seconds = self.world.random.choice((0.001, 0.01, 0.02))
        self._writer: Writer | None = None
        self._before = directory.file.origin
        self._jobs: deque[Action] = deque()
        self._busy = False
        self._handed: list[Made] = []
        self._finished: list[Action] = []
        self._handing_on = False
        self._checkpointing = False
        self.outgoing = Outgoing(self)
        self._tick()

    def resume(self) -> None:
        """As SIGCONT does."""
        self.woke_at = self.world.now
        super().resume()

    # Queries

    def query(self, request: Request) -> None:
        """Runs a query on the database thread, if this is the primary."""
        try:
            self.core.admit(request.bookmark, self.now())
        except Error as error:
            request.reply(error)
            return
        full = self.core.refusal_of_writes(self.now())
        if full is not None and request.operation.kind is Kind.WRITE:
            self.core.dismissed()
            request.reply(full)
            return
        deadline = self.now() + min(request.seconds, limits.CONFIRM_SECONDS)
        token = id(request)
        self.pending[token] = (request, deadline)
        self._do(partial(self._run, token, request, deadline))

    def _run(self, token: int, request: Request, deadline: float) -> None:
        assert self._writer is not None, "queries run once the reign is open"
        operation = request.operation
        wrote = operation.kind is Kind.WRITE
        forgotten = wrote and self._is_forgotten(request)
        wrote = wrote and not forgotten
        if wrote and self.keys.outcome(key(operation.write)) is None:
            self.pages.update(dict.fromkeys(operation.pages, operation.write))
            self.keys.add(self._writer.tail.sequence + 1, key(operation.write))
            self._make(self._writer.write(operation.write, operation.pages, operation.per_piece), operation)
        seen = self.pages.get(FIRST_PAGE, 0)
        answer = Answer(seen, self.pages.get(operation.pages[0], 0), self._writer.tail, True, forgotten)
        waiting = Waiting((token, answer), self._writer.tail, wrote, deadline)
        self._finished.append(partial(self.finish, waiting, operation))
        self._hand_on()

    def _is_forgotten(self, request: Request) -> bool:
        """Whether nobody can say if another attempt was run."""
        known = self.keys.outcome(key(request.operation.write)) is not None
        return not known and self.keys.may_have_forgotten(request.since)

    def finish(self, waiting: Waiting, operation: Operation) -> None:
        """A query has run; its response leaves when the core says so."""
        self.carry_out(self.core.finished(waiting, self.now()))

    def _respond(self, effect: Respond) -> None:
        token, answer = cast("tuple[int, Answer]", effect.token)
        found = self.pending.pop(token, None)
        if found is None:
            return
        request, _ = found
        self.core.dismissed()
        if effect.error is not None:
            request.reply(effect.error)
        else:
            self.answer(request, answer)

    def answer(self, request: Request, answer: Answer) -> None:
        """An answer leaves."""
        if answer.forgotten:
            request.reply(answer)
            return
        self.around.checkers.answered(request.operation, answer, self.name)
        request.reply(answer)

    def _check_deadlines(self) -> None:
        late = self.now() - LATE_SECONDS
        if self.world.now - self.woke_at < LATE_SECONDS:
            return
        for token in [token for token, (_, deadline) in self.pending.items() if deadline < late]:
            request, _ = self.pending.pop(token)
            self.around.checkers.violated(Checker.DEADLINE, f"{self.name} never answered {request.operation}")

    # The database thread

    def _do(self, job: Action) -> None:
        self._jobs.append(job)
        if not self._busy:
            self._busy = True
            self.after(0.0001 + 0.001 * self.world.random.random(), self._next_job)

    def _next_job(self) -> None:
        self._jobs.popleft()()
        if self._jobs:
            self.after(0.0001 + 0.001 * self.world.random.random(), self._next_job)
        else:
            self._busy = False

    def _make(self, made: Sequence[Made], operation: Operation | None) -> None:
        """The thread has made an entry; the loop gets it a little later, with what is made meanwhile."""
        self.around.checkers.made(self._before, made, operation)
        self._before = made[-1].piece.place
        self._handed += made
        self._hand_on()

    def _hand_on(self) -> None:
        if not self._handing_on:
            self._handing_on = True
            self.after(self._loop_seconds * self.world.random.random(), self._take_handed)

    def _take_handed(self) -> None:
        self._handing_on = False
        made, self._handed = self._handed, []
        finished, self._finished = self._finished, []
        if made:
            self.commit(made)
        for action in finished:
            action()

    def commit(self, made: Sequence[Made]) -> None:
        """New pieces, in the log's order."""
        leader = self.core.leader
        if leader is not None:
            self.outgoing.add(made, leader.window.end)
        self.carry_out(self.core.committed([one.piece for one in made], self.now()))

    # Effects

    def _tick(self) -> None:
        self.outgoing.link(self.core.contacts)
        self.carry_out(self.core.tick(self.now()))
        self._check_deadlines()
        self.after(limits.LEASE_SECONDS / 20, self._tick)

    def carry_out(self, effects: Sequence[core.Effect]) -> None:
        """Effects, in order."""
        for effect in effects:
            match effect:
                case Ship() | Ask() | Forward() | Fetch() | Rebase() | lead.Diverge():
                    self.outgoing.carry_out(effect)
                case Respond():
                    self._respond(effect)
                case lead.Confirmed():
                    self._confirmed(effect.place)
                case Propose():
                    self._do(partial(self._propose, effect.members))
                case core.Begin():
                    self._begin(effect)
                case core.Replay():
                    Replaying(self, effect.place).start()
                case lead.Fenced():
                    self.after(0.05 * self.world.random.random(), self.leave)

    def _begin(self, effect: core.Begin) -> None:
        self.around.adopted(self, effect.adopted)
        self._writer = Writer(effect.adopted, self.clock_us, self.around.cores.describe)
        self._before = effect.adopted.tail
        made = self._writer.empty()
        self.around.checkers.made(self._before, made, None)
        self._before = made[-1].piece.place
        self.commit(made)

    def clock_us(self) -> int:
        """This host's wall clock."""
        return int(self.now() * 1_000_000) if self.around.wall_clocks else 0

    def _propose(self, members: Members) -> None:
        assert self._writer is not None, "members change once the reign is open"
        self.around.proposed(self)
        self._make(self._writer.members(members), None)

    def replayed(self) -> None:
        """The file is where the core wanted it."""
        self.pages = dict(self.directory.file.pages)
        self.keys = self.directory.file.keys.copy()
        self.core.replayed()
        Archiving(self, self.around.cold)
        self.around.opened(self)

    def _confirmed(self, place: Bookmark) -> None:
        leader = self.core.leader
        assert leader is not None, "a leader confirms"
        self.around.checkers.confirmed(self.name, leader.epoch, place)
        self.around.confirmed(self)
        self.outgoing.shrink(self.world)
        idle = leader.confirmation.unconfirmed == 0 and not self._checkpointing
        if idle and self.core.phase is core.Phase.OPEN and self.world.chance(0.05):
            self._checkpointing = True
            self._do(partial(self._begin_checkpoint, place))

    def _begin_checkpoint(self, place: Bookmark) -> None:
        """Copies a part of the WAL into the file, if all of it is confirmed; the thread is busy until the end."""
        self._checkpointing = False
        file = self.directory.file
        if self._writer is None or self._writer.tail.digest != place.digest:
            return
        self.around.checkers.shown(place, f"the file of {self.name}")
        file.goal = place
        pages = sorted(self.pages)
        file.put({page: self.pages[page] for page in pages[::2]})
        self._jobs.appendleft(partial(self._end_checkpoint, place))

    def _end_checkpoint(self, place: Bookmark) -> None:
        self.directory.file.put(self.pages)
        self.directory.file.reach(place, self.keys.copy())

    # The end

    def stop(self) -> None:
        """Ends the reign and gives the lease up, so that a successor need not wait it out."""
        members = self.core.members.everyone
        self.carry_out(self.core.stop())
        for member in members:
            self.outgoing.release(member)
        self.after(0.01, self.leave)

    def leave(self) -> None:
        """This process ends by itself."""
        self.around.gone(self)
