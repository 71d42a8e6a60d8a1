"""A replica: its process around the real `ReplicaLog`, and the files that outlive processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec

from raylite.actors.core import messages as m
from raylite.actors.core import replica as core
from raylite.actors.core.simulation.copies import DatabaseFile, Frame
from raylite.actors.core.simulation.entries import FIRST_PAGE
from raylite.actors.core.simulation.history import Kind
from raylite.actors.core.simulation.network import Connection, Link
from raylite.actors.core.simulation.ports import Surroundings
from raylite.actors.core.simulation.primaries import Primary
from raylite.actors.core.simulation.requests import Answer, Request
from raylite.actors.core.simulation.world import Action, Process
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Error, NoReply, Unreachable
from raylite.policies.limits import BOOKMARK_WAIT_SECONDS, LEASE_SECONDS

CHECKPOINTS = 0.03
"""Share of publications after which the WAL is checkpointed."""


class ReplicaDirectory:
    """What of a replica outlives its process."""

    def __init__(self, name: str, start: Bookmark) -> None:
        self.name = name
        self.file = DatabaseFile(start)
        self.left_over: list[Frame] = []


class Replica(Process):
    """One life of a replica. Changes of its file are made one after the other, a little later than they are decided."""

    def __init__(self, around: Surroundings, directory: ReplicaDirectory) -> None:
        super().__init__(around.world, directory.name)
        self.around, self.directory = around, directory
        self.file = around.cores.replica_file(directory.file, directory.left_over)
        directory.left_over = self.file.wal
        self.log = around.cores.replica(around.database, directory.file.certain)
        self.shown = directory.file.certain
        self._waiting: list[tuple[Bookmark, Request, float]] = []
        self._forwarded: dict[int, Request] = {}
        self._forwards = 0
        self._jobs: deque[Action] = deque()
        self._busy = self._held_up = False
        self._heard_at: float | None = None
        self._link = Link(around.network, self, around.primary, self._up, self._down)
        self.every(LEASE_SECONDS / 4, self._miss)

    # Queries

    def query(self, request: Request) -> None:
        """Answers a read once the bookmark is shown; else the primary does."""
        if request.operation.kind is Kind.WRITE or request.operation.primary:
            self._forward(request)
        elif request.bookmark is None:
            self._read(request) if self.file.ready else self._forward(request)
        elif self._shows(request.bookmark):
            self._check(request)
        else:
            entry = (request.bookmark, request, self.world.now)
            self._waiting.append(entry)
            self.after(min(BOOKMARK_WAIT_SECONDS, request.seconds), partial(self._give_up, entry))

    def _shows(self, bookmark: Bookmark) -> bool:
        reached = (bookmark.epoch, bookmark.sequence) <= (self.shown.epoch, self.shown.sequence)
        return reached and self.file.ready

    def _give_up(self, entry: tuple[Bookmark, Request, float]) -> None:
        if entry in self._waiting:
            self._waiting.remove(entry)
            self._forward(entry[1])

    def _check(self, request: Request) -> None:
        assert request.bookmark is not None, "only a bookmark is checked"
        try:
            self.log.history.check(request.bookmark)
        except Error as error:
            request.reply(error)
            return
        self._read(request)

    def _read(self, request: Request) -> None:
        seen = self.file.view.get(FIRST_PAGE, 0)
        value = self.file.view.get(request.operation.pages[0], 0)
        answer = Answer(seen, value, self.file.mark, False)
        self.around.checkers.answered(request.operation, answer, self.name)
        request.reply(answer)

    def _forward(self, request: Request) -> None:
        connection = self._link.connection
        if connection is None or not isinstance(connection.acceptor, Primary):
            request.reply(Unreachable("the primary", "no connection"))
            return
        token = self._forwards = self._forwards + 1
        self._forwarded[token] = request
        onward = msgspec.structs.replace(request, reply=partial(self._hand_back, token))
        connection.send(self, partial(connection.acceptor.query, onward), reliable=True)

    def _hand_back(self, token: int, answer: Answer | Error) -> None:
        """What the primary said goes to the client."""
        request = self._forwarded.pop(token, None)
        if request is not None:
            request.reply(answer)

    # The stream

    def _up(self, connection: Connection) -> None:
        primary = connection.acceptor
        assert isinstance(primary, Primary), "a replica dials primaries"
        message = m.Follow(self.around.database, self.name, "", self.log.published, self.log.epoch)
        connection.send(self, partial(primary.outgoing.follow, self, connection, message), reliable=True)

    def _down(self) -> None:
        """The link dials again; what was forwarded over it will not be answered."""
        forwarded, self._forwarded = self._forwarded, {}
        for request in forwarded.values():
            request.reply(NoReply("the primary", "its connection ended"))

    def stream(self, message: m.Append | m.Diverged, answer: Callable[[m.FromFollower], None]) -> None:
        """One message of a leader."""
        self._heard_at = self.now()
        effects = self.log.receive(message) if isinstance(message, m.Append) else self.log.diverged(message)
        for effect in effects:
            match effect:
                case core.Rebuild():
                    self._rebuild()
                    return
                case core.Answer():
                    self._do(partial(answer, effect.message))
                case _:
                    self._do(partial(self._apply, effect))

    def _rebuild(self) -> None:
        """What is shown is not in the log: the next process begins with an empty copy."""
        self.around.rebuilt(self.log.published)
        self.directory.file.anew()
        self.directory.left_over = []
        self.around.gone(self)

    def _do(self, job: Action) -> None:
        self._jobs.append(job)
        if not self._busy:
            self._busy = True
            self.after(0.0003 * self.world.random.random(), self._work)

    def _work(self) -> None:
        """Does all that waits; a checkpoint holds up what comes after it."""
        while self._jobs and not self._held_up:
            self._jobs.popleft()()
        self._busy = self._held_up

    def _apply(self, effect: core.Write | core.CutTo | core.Publish) -> None:
        match effect:
            case core.Write():
                for piece, encoded in zip(effect.pieces, effect.encoded, strict=True):
                    self.file.append(piece, encoded)
            case core.CutTo():
                self.file.cut(effect.place)
            case core.Publish():
                self._publish(effect.place)

    def _publish(self, place: Bookmark) -> None:
        self.around.checkers.shown(place, self.name)
        self.file.publish(place)
        self.shown = place
        waiting, self._waiting = self._waiting, []
        for entry in waiting:
            if self._shows(entry[0]):
                self._check(entry[1])
            else:
                self._waiting.append(entry)
        if self.file.ready and self.world.chance(CHECKPOINTS):
            self.file.begin_checkpoint()
            self._held_up = True
            self.after(0.005 * self.world.random.random(), self._end_checkpoint)

    def _end_checkpoint(self) -> None:
        self.file.end_checkpoint()
        self._held_up = False
        self._work()

    def _miss(self) -> None:
        """Tells the registry when a primary that was heard before is silent for two leases."""
        if self._heard_at is not None and self.now() - self._heard_at > 2 * LEASE_SECONDS:
            self._heard_at = self.now()
            self.around.report_missing()
