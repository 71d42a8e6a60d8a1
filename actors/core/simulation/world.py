"""Virtual time and the processes that live in it."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

Action = Callable[[], None]

CLOCK_RATE = 0.045
"""Clocks go wrong by up to this share, which is what the lease's drift allows for."""


class Process:
    """One process: it runs, stands still (what happens to it waits), or is gone for good."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.alive = True
        self.paused = False
        self._backlog: list[Action] = []
        self._rate = 1 + world.random.uniform(-CLOCK_RATE, CLOCK_RATE)
        self._offset = world.random.uniform(0, 1000)

    def now(self) -> float:
        """What this process' own clock shows."""
        return self._offset + self.world.now * self._rate

    def after(self, seconds: float, action: Action) -> None:
        """Runs `action` in this process later, if it still lives then."""
        self.world.after(seconds, action, self)

    def run(self, action: Action) -> None:
        """Runs `action` now, or when the process goes on; never if it is gone."""
        if self.paused:
            self._backlog.append(action)
        elif self.alive:
            action()

    def every(self, seconds: float, action: Action) -> None:
        """Runs `action` again and again."""

        def again() -> None:
            action()
            self.after(seconds, again)

        self.after(seconds, again)

    def pause(self) -> None:
        """As SIGSTOP does."""
        self.paused = True

    def resume(self) -> None:
        """As SIGCONT does: what has waited happens now, in order."""
        self.paused = False
        backlog, self._backlog = self._backlog, []
        for action in backlog:
            self.after(0, action)

    def kill(self) -> None:
        """As SIGKILL does."""
        self.alive = False
        self._backlog.clear()


class World:
    """The events to come, in order of time and then of when they were made."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.seed = seed
        self.random = Random(seed)
        self.events = 0
        self.over = False
        self._count = 0
        self._heap: list[tuple[float, int, Process | None, Action]] = []

    def after(self, seconds: float, action: Action, process: Process | None = None) -> None:
        """Runs `action` so many seconds from now, in `process` if there is one."""
        self._count += 1
        heappush(self._heap, (self.now + seconds, self._count, process, action))

    def chance(self, share: float) -> bool:
        """True in this share of cases."""
        return self.random.random() < share

    def run(self, most_events: int) -> None:
        """Lets time pass until `over`, or until so many events have happened."""
        while self._heap and not self.over and self.events < most_events:
            self.now, _, process, action = heappop(self._heap)
            self.events += 1
            if process is None:
                action()
            else:
                process.run(action)
