"""What goes wrong, when, and for how long."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from raylite.actors.core.simulation.disk import Change
from raylite.actors.core.store import StorePiece, StorePromise

if TYPE_CHECKING:
    from raylite.actors.core.simulation.followers import Follower
    from raylite.actors.core.simulation.system import System
    from raylite.actors.core.simulation.world import Process


class Fault(enum.StrEnum):
    """Kinds of faults."""

    CRASH_FOLLOWER = "crash of a follower"
    CRASH_FOLLOWERS = "crash of all followers"
    CRASH_PRIMARY = "crash of the primary"
    CRASH_REPLICA = "crash of a replica"
    PAUSE_FOLLOWER = "pause of a follower"
    PAUSE_PRIMARY = "pause of the primary"
    PAUSE_REPLICA = "pause of a replica"
    PARTITION = "partition"
    CUT_PRIMARY = "primary cut off"
    ONE_WAY = "one-way partition"
    BREAK = "connections break"
    SLOW = "slow peers"
    LOSSY = "loss and duplication"
    SECOND_PRIMARY = "second primary"
    STOP_PRIMARY = "primary stopped"
    LOST_DISK = "lost disk"
    MEMBERS = "change of members"
    FULL_DISKS = "full disks"


_WEIGHTS: Mapping[Fault, float] = {
    Fault.CRASH_FOLLOWER: 4,
    Fault.CRASH_FOLLOWERS: 0.5,
    Fault.CRASH_PRIMARY: 3,
    Fault.CRASH_REPLICA: 2,
    Fault.PAUSE_FOLLOWER: 1.5,
    Fault.PAUSE_PRIMARY: 2,
    Fault.PAUSE_REPLICA: 0.7,
    Fault.PARTITION: 2,
    Fault.CUT_PRIMARY: 1.5,
    Fault.ONE_WAY: 1,
    Fault.BREAK: 1.5,
    Fault.SLOW: 1,
    Fault.LOSSY: 1,
    Fault.SECOND_PRIMARY: 1,
    Fault.STOP_PRIMARY: 0.7,
    Fault.LOST_DISK: 0.7,
    Fault.MEMBERS: 1.2,
}
WEIGHTS = MappingProxyType(_WEIGHTS)

PAUSES = frozenset({Fault.PAUSE_FOLLOWER, Fault.PAUSE_PRIMARY, Fault.PAUSE_REPLICA})
PARTITIONS = frozenset({Fault.PARTITION, Fault.CUT_PRIMARY, Fault.ONE_WAY})
RESTARTS = frozenset({Fault.CRASH_FOLLOWER, Fault.CRASH_FOLLOWERS})

FULL_SHARE = 0.3
"""Full disks are not drawn as the others are: a share of all runs has them, whatever else it has."""

Script = Callable[["System"], None]


class Plan(msgspec.Struct, frozen=True):
    """How faults are drawn: fewest and most, how likely each kind is, within how many seconds.

    script: schedules what it wants besides, to steer a run to where a defect shows.
    """

    fewest: int = 4
    most: int = 7
    seconds: float = 7.0
    weights: Mapping[Fault, float] = WEIGHTS
    script: Script | None = None


class Injector:
    """Draws faults and carries them out; all are over when it says so."""

    def __init__(self, system: System, plan: Plan) -> None:
        self._system, self._random = system, system.world.random
        self.happened: dict[Fault, int] = {}
        self.ends_at = plan.seconds
        kinds, weights = list(plan.weights), list(plan.weights.values())
        count = self._random.randint(plan.fewest, plan.most)
        for kind in self._draw(kinds, weights, count):
            system.world.after(self._random.uniform(0.3, plan.seconds), partial(self.inject, kind))
        if plan.weights and plan.most:
            self._draw_full_disks(plan.seconds)
        if plan.script is not None:
            plan.script(system)

    def _draw_full_disks(self, seconds: float) -> None:
        own = Random(f"full disks {self._system.world.seed}")
        if own.random() < FULL_SHARE:
            self._system.world.after(own.uniform(0.3, seconds), partial(self.inject, Fault.FULL_DISKS))

    def _draw(self, kinds: Sequence[Fault], weights: Sequence[float], count: int) -> list[Fault]:
        """At least two kinds, where there are two."""
        drawn = self._random.choices(kinds, weights, k=count)
        while len(set(drawn)) < min(2, len(kinds)) and count:
            drawn = self._random.choices(kinds, weights, k=count)
        return drawn

    def inject(self, kind: Fault) -> None:
        """Makes a fault of this kind happen now."""
        self.happened[kind] = self.happened.get(kind, 0) + 1
        self._system.crowd()
        {
            Fault.CRASH_FOLLOWER: self._crash_follower,
            Fault.CRASH_FOLLOWERS: self._crash_followers,
            Fault.CRASH_PRIMARY: self._system.kill_primary,
            Fault.CRASH_REPLICA: self._crash_replica,
            Fault.PAUSE_FOLLOWER: self._pause_follower,
            Fault.PAUSE_PRIMARY: self._pause_primary,
            Fault.PAUSE_REPLICA: self._pause_replica,
            Fault.PARTITION: self._partition,
            Fault.CUT_PRIMARY: self._cut_primary,
            Fault.ONE_WAY: self._one_way,
            Fault.BREAK: self._break,
            Fault.SLOW: self._slow,
            Fault.LOSSY: self._lossy,
            Fault.SECOND_PRIMARY: self._system.start_primary,
            Fault.STOP_PRIMARY: self._stop_primary,
            Fault.LOST_DISK: self._lose_disk,
            Fault.MEMBERS: self._system.change_members,
            Fault.FULL_DISKS: self._fill_disks,
        }[kind]()

    def _for(self, shortest: float, longest: float, action: Callable[[], None]) -> None:
        """Runs `action`, which ends a fault, in a while, but not after the end of all faults."""
        seconds = self._random.uniform(shortest, longest)
        self._system.world.after(seconds, action)
        self.ends_at = max(self.ends_at, self._system.world.now + seconds)

    def _crash_follower(self) -> None:
        follower = self._random.choice(self._system.followers)
        if follower.process.alive:
            follower.crash()
            self._system.died(follower.process)
        self._for(0.05, 1.5, follower.restart)

    def _crash_followers(self) -> None:
        for follower in self._system.followers:
            if follower.process.alive:
                follower.crash()
                self._system.died(follower.process)
            self._for(0.05, 0.6, follower.restart)

    def _crash_replica(self) -> None:
        self._system.gone(self._random.choice(self._system.replicas))

    def _pause(self, process: Process, shortest: float, longest: float) -> None:
        process.pause()
        self._for(shortest, longest, process.resume)

    def _pause_follower(self) -> None:
        self._pause(self._random.choice(self._system.followers).process, 0.1, 4)

    def _pause_primary(self) -> None:
        self._pause(self._system.newest, 0.2, self._random.choice((1.0, 6.0)))

    def _pause_replica(self) -> None:
        self._pause(self._random.choice(self._system.replicas), 0.1, 3)

    def _hosts(self) -> list[str]:
        return [process.name for process in self._system.processes()]

    def _cut(self, pairs: Sequence[tuple[str, str]], longest: float = 5.0) -> None:
        cut = self._system.network.cut
        added = [pair for pair in pairs if pair not in cut]
        cut.update(added)
        self._for(0.2, longest, partial(cut.difference_update, added))

    def _partition(self) -> None:
        hosts = self._hosts()
        side = {host for host in hosts if self._random.random() < 0.4}
        apart = [(one, other) for one in hosts for other in hosts if (one in side) != (other in side)]
        self._cut(apart)

    def _cut_primary(self) -> None:
        """Its clients may still reach it: the worst kind."""
        primary = self._system.newest.name
        with_clients = self._random.random() < 0.5
        others = [host for host in self._hosts() if with_clients or not host.startswith("session")]
        self._cut([pair for host in others for pair in ((host, primary), (primary, host))], 7.0)

    def _one_way(self) -> None:
        hosts = self._hosts()
        source = self._random.choice([self._system.newest.name, self._random.choice(hosts)])
        targets = [host for host in hosts if self._random.random() < 0.6]
        pairs = [(source, host) for host in targets]
        self._cut(pairs if self._random.random() < 0.5 else [(host, source) for source, host in pairs])

    def _break(self) -> None:
        for connection in list(self._system.network.connections):
            if self._random.random() < 0.5:
                connection.break_()

    def _slow(self) -> None:
        slow = self._system.network.slow
        host = self._random.choice(self._hosts())
        slow[host] = self._random.choice((0.02, 0.2, 0.8))
        self._for(0.3, 3, partial(self._fast, host))

    def _fast(self, host: str) -> None:
        self._system.network.slow.pop(host, None)

    def _lossy(self) -> None:
        network = self._system.network
        network.loss, network.duplication = 0.03, 0.03
        self._for(0.5, 3, self._reliable)

    def _reliable(self) -> None:
        self._system.network.loss = self._system.network.duplication = 0.0

    def _stop_primary(self) -> None:
        if self._system.newest.alive and not self._system.newest.paused:
            self._system.newest.stop()

    def _lose_disk(self) -> None:
        """One disk at most, so that with any other follower down there is still a quorum that knows all."""
        if self._system.lost_disks:
            return
        self._system.lost_disks += 1
        follower = self._random.choice(self._system.followers[:5])
        if follower.process.alive:
            follower.crash()
            self._system.died(follower.process)
        follower.disk.lose()
        self._for(0.05, 1.0, follower.restart)

    def _fill_disks(self) -> None:
        """Some followers have little room, and some of them none; not even for promises, at worst."""
        chosen = self._random.sample(self._system.followers, self._random.randint(1, 5))
        kinds: tuple[type[Change], ...] = (StorePiece, StorePromise)[: self._random.randint(0, 2)]
        for follower in chosen:
            follower.disk.low = True
            follower.disk.refused = frozenset(kinds if self._random.random() < 0.8 else ())
        self._for(0.3, 5, partial(_empty_disks, chosen))


def _empty_disks(followers: Sequence[Follower]) -> None:
    for follower in followers:
        follower.disk.low, follower.disk.refused = False, frozenset()
