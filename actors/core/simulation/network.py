"""Connections between processes: what is sent in one direction of one arrives in order, or not at all.

A connection that breaks is noticed by either end in its own time. What was under way to the side that was dialled
may arrive long after, when a new connection has begun.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from raylite.actors.core.simulation.world import Action, Process, World

NOTICE_SECONDS = 1.5
REDIAL_SECONDS = (0.05, 0.5)


class Network:
    """Which hosts reach each other, how fast, and how reliably. A process' host has its name's first part."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cut: set[tuple[str, str]] = set()
        self.slow: dict[str, float] = {}
        self.loss = 0.0
        self.duplication = 0.0
        self.connections: list[Connection] = []

    def reaches(self, source: Process, target: Process) -> bool:
        """Whether a message gets through now, in this direction."""
        return not self.cut or (source.name, target.name) not in self.cut

    def delay(self, source: Process, target: Process) -> float:
        """Seconds that a message takes."""
        seconds = 0.0002 + 0.002 * self.world.random.random()
        if self.slow:
            seconds += (
                self.slow.get(source.name, 0.0) + self.slow.get(target.name, 0.0)
            ) * self.world.random.random()
        return seconds

    def connect(self, dialler: Process, acceptor: Process) -> Connection:
        """A new connection, open at both ends."""
        if len(self.connections) > 256:
            self.connections = [one for one in self.connections if one.is_open]
        connection = Connection(self, dialler, acceptor)
        self.connections.append(connection)
        return connection

    def call(self, source: Process, target: Process, action: Action, lost: Action) -> None:
        """Runs `action` in `target` after the way there; `lost` in `source` if that is noticed not to arrive."""
        seconds = self.delay(source, target)
        if not self.reaches(source, target):
            source.after(NOTICE_SECONDS * self.world.random.random(), lost)
        elif not target.alive:
            source.after(2 * seconds, lost)
        else:
            target.after(seconds, action)


class Connection:
    """Between the process that dialled and the one that was dialled."""

    def __init__(self, network: Network, dialler: Process, acceptor: Process) -> None:
        self.network, self.dialler, self.acceptor = network, dialler, acceptor
        self.is_open = True
        self._open = {dialler: True, acceptor: True}
        self._last = {dialler: 0.0, acceptor: 0.0}
        self._on_close: dict[Process, Action] = {}

    def on_close(self, end: Process, action: Action) -> None:
        """What `end` does when it notices that the connection is gone."""
        self._on_close[end] = action

    def send(self, sender: Process, action: Action, *, reliable: bool = False) -> None:
        """Runs `action` at the other end, after all that was sent there before; lost if the connection breaks.

        Unless `reliable`, it may also be lost or come twice while the network is bad: the relay must bear that.
        """
        if not self._open[sender]:
            return
        network, world = self.network, self.network.world
        receiver = self.acceptor if sender is self.dialler else self.dialler
        if network.cut and not network.reaches(sender, receiver):
            self.break_()
            return
        if not receiver.alive:
            self.break_()
            return
        if network.loss and not reliable and world.chance(network.loss):
            return
        arrival = max(world.now + network.delay(sender, receiver), self._last[receiver])
        self._last[receiver] = arrival
        deliver = partial(self._deliver, receiver, action)
        world.after(arrival - world.now, deliver, receiver)
        if network.duplication and not reliable and world.chance(network.duplication):
            world.after(arrival - world.now + 0.3 * world.random.random(), deliver, receiver)

    def _deliver(self, receiver: Process, action: Action) -> None:
        if self._open[receiver]:
            action()
        elif receiver is self.acceptor and receiver.world.chance(0.5):
            receiver.after(1.5 * receiver.world.random.random(), action)

    def break_(self) -> None:
        """The way is gone: the ends notice it, one after the other."""
        if not self.is_open:
            return
        self.is_open = False
        for end in (self.dialler, self.acceptor):
            end.after(NOTICE_SECONDS * self.network.world.random.random() ** 3, partial(self.close, end))

    def close(self, end: Process) -> None:
        """Closes one end; the other is told at once, if that gets through."""
        if not self._open[end]:
            return
        self._open[end] = False
        action = self._on_close.pop(end, None)
        if action is not None:
            action()
        other = self.acceptor if end is self.dialler else self.dialler
        if self.is_open and other.alive and self.network.reaches(end, other):
            self.is_open = False
            other.after(self.network.delay(end, other), partial(self.close, other))
        self.break_()

    def died(self, process: Process) -> None:
        """One end's process is gone, and its kernel tells the other."""
        if process in self._open:
            self.break_()


class Link:
    """A connection that one process keeps to another, dialled anew whenever it ends."""

    def __init__(
        self,
        network: Network,
        owner: Process,
        target: Callable[[], Process | None],
        on_up: Callable[[Connection], None],
        on_down: Action,
    ) -> None:
        self._network, self._owner, self._target = network, owner, target
        self._on_up, self._on_down = on_up, on_down
        self.connection: Connection | None = None
        self._dial()

    def _dial(self) -> None:
        target = self._target()
        if target is None or not target.alive or not self._both_ways(target):
            self._owner.after(self._network.world.random.uniform(*REDIAL_SECONDS), self._dial)
            return
        self._owner.after(2 * self._network.delay(self._owner, target), partial(self._dialled, target))

    def _both_ways(self, target: Process) -> bool:
        return self._network.reaches(self._owner, target) and self._network.reaches(target, self._owner)

    def _dialled(self, target: Process) -> None:
        if not target.alive or target.paused or not self._both_ways(target):
            self._owner.after(self._network.world.random.uniform(*REDIAL_SECONDS), self._dial)
            return
        connection = self._network.connect(self._owner, target)
        self.connection = connection
        connection.on_close(self._owner, self._down)
        self._on_up(connection)

    def _down(self) -> None:
        self.connection = None
        self._on_down()
        self._owner.after(self._network.world.random.uniform(0.01, REDIAL_SECONDS[1]), self._dial)
