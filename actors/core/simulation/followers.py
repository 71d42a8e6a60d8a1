"""A follower: its process around the real `FollowerLog`, and the disk that outlives processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from raylite.actors.core import follower as core
from raylite.actors.core import messages as m
from raylite.actors.core import store
from raylite.actors.core.log import LogIndex
from raylite.actors.core.simulation.checkers import Checker, Checkers
from raylite.actors.core.simulation.disk import Disk, StoreJoined
from raylite.actors.core.simulation.world import Action, Process, World
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.limits import LEASE_SECONDS

Answer = Callable[[m.FromFollower], None]


class Follower:
    """One follower actor: restarted after a crash, in its own directory."""

    def __init__(
        self,
        world: World,
        name: str,
        database: str,
        checkers: Checkers,
        make_log: type[core.FollowerLog],
        process: type[FollowerProcess],
    ) -> None:
        self.world, self.name, self.database = world, name, database
        self.checkers, self.make_log = checkers, make_log
        self.disk = Disk(database, world.random)
        self.joins = 0
        self._make_process = process
        self.process = process(self)

    @property
    def log(self) -> core.FollowerLog | None:
        """What the living process knows."""
        return self.process.log

    def crash(self) -> None:
        """The process dies, and with it what was not synced."""
        self.process.kill()
        survived = self.disk.crash()
        self.checkers.synced(self.process.member(), survived)

    def restart(self) -> None:
        """A new process, if there is none."""
        if not self.process.alive:
            self.process = self._make_process(self)


class FollowerProcess(Process):
    """One life of a follower. Replies leave when what was written before them is synced."""

    def __init__(self, follower: Follower) -> None:
        super().__init__(follower.world, follower.name)
        self.follower, self.disk = follower, follower.disk
        self.log: core.FollowerLog | None = None
        self._waiting: deque[tuple[int, Action]] = deque()
        self._syncing = False
        self._promises = 0
        self._load_log()

    def _load_log(self) -> None:
        """Makes the log anew from what the disk has."""
        found, follower = self.disk.recover(), self.follower
        if found is not None:
            self.log = follower.make_log(
                follower.database,
                found.incarnation,
                found.index(),
                promised=found.promised,
                confirmed=found.confirmed,
                gave_up=found.gave_up,
                started=self.now(),
            )

    def member(self) -> str:
        """The incarnation, "" if there is none."""
        return self.log.incarnation if self.log else ""

    def receive(self, message: m.ToFollower, answer: Answer) -> None:
        """Handles one request."""
        if isinstance(message, m.Join) and self.log is None:
            self._join(answer)
        elif self.log is None:
            self.unknown(message, answer)
        else:
            self._handle(self.log, message, answer)

    def unknown(self, message: m.ToFollower, answer: Answer) -> None:
        """An empty disk knows nothing."""
        answer(m.Unknown(self.follower.database, getattr(message, "number", 0)))

    def start_log(self, incarnation: str) -> core.FollowerLog:
        """Joins the database with an empty log."""
        database = self.follower.database
        self.disk.write(StoreJoined(incarnation), 0)
        index = LogIndex(origin(database), None)
        self.log = self.follower.make_log(database, incarnation, index, started=self.now())
        return self.log

    def _join(self, answer: Answer) -> None:
        self.follower.joins += 1
        log = self.start_log(f"{self.name}.{self.follower.joins}")
        self._when_stored(partial(answer, m.Joined(log.database, log.incarnation)))

    def _handle(self, log: core.FollowerLog, message: m.ToFollower, answer: Answer) -> None:
        epoch = message.epoch if isinstance(message, m.Append) else 0
        log.has_room = not self.disk.low
        effects = log.receive(message, answer, self.now())
        self.carry_out(effects, epoch)
        if isinstance(message, m.Promise) and not effects:
            self._await_lease()

    def _await_lease(self) -> None:
        """Production ticks all the time; only a waiting promise makes a tick do something."""
        self._promises += 1
        if self._promises == 1:
            self.after(LEASE_SECONDS / 20, self._tick)

    def _tick(self) -> None:
        assert self.log is not None, "a promise waits in a log"
        self.carry_out(self.log.tick(self.now()), 0)
        if self.log.lease_seconds(self.now()) > 0:
            self.after(LEASE_SECONDS / 20, self._tick)
        else:
            self._promises = 0

    def carry_out(self, effects: Sequence[core.Effect], epoch: int) -> None:
        """Effects, in order; if there is no room for them none counts."""
        if self.disk.refuses(effects):
            self._refuse(effects)
            return
        for effect in effects:
            match effect:
                case core.Reply(to, message):
                    self._when_stored(partial(cast(Answer, to), message))
                case core.Load():
                    self._when_stored(partial(self._load, effect))
                case _:
                    self.disk.write(effect, epoch)
                    self._watch(effect)
        self._sync()

    def _refuse(self, effects: Sequence[core.Effect]) -> None:
        self._load_log()
        for effect in effects:
            refusal = core.refusal_for_room(effect.message) if isinstance(effect, core.Reply) else None
            if isinstance(effect, core.Reply) and refusal is not None:
                self._when_stored(partial(cast(Answer, effect.to), refusal))

    def _watch(self, change: core.Effect) -> None:
        checkers = self.follower.checkers
        if isinstance(change, store.StoreConfirmed):
            checkers.marked(change.confirmed, self.name)
        elif isinstance(change, store.StoreBase):
            checkers.marked(change.base.place, self.name)
        elif isinstance(change, store.StoreGaveUp):
            checkers.violated(Checker.KEPT, f"{self.name} gave its log up")

    def _load(self, effect: core.Load) -> None:
        assert callable(effect.to), "a reply's address is whom to call"
        data: list[bytes] = []
        for piece in effect.pieces:
            if not self.holds(piece.place):
                break
            data.append(self.disk.encoded[piece.place])
        effect.to(m.Pieces(self.follower.database, effect.after, data, effect.tail, effect.confirmed))

    def holds(self, place: Bookmark) -> bool:
        """Whether the log reaches that place."""
        return self.log is not None and not self.log.gave_up and self.log.index.find(place) is not None

    # The disk

    def _when_stored(self, action: Action) -> None:
        self._waiting.append((self.disk.wanted, action))
        self._sync()

    def _sync(self) -> None:
        self._release()
        if self._syncing or not self._waiting:
            return
        self._syncing = True
        end = len(self.disk.records)
        self.after(0.0003 + 0.002 * self.world.random.random(), partial(self._synced, end))

    def _synced(self, end: int) -> None:
        self._syncing = False
        self.follower.checkers.synced(self.member(), self.disk.sync(end))
        self._sync()

    def _release(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.disk.synced:
            _, action = self._waiting.popleft()
            action()
