"""What a campaign does to actors' processes, as its seed says: kills and stops, of one or of several at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence

import raylite
from raylite.actors import handles
from raylite.policies.status import ActorStatus

Say = Callable[[str], None]


class Faults:
    """Of one campaign. counts: how often each fault was done; `say` is told of each."""

    def __init__(self, database: str, regions: Sequence[str], chance: random.Random, say: Say) -> None:
        self.counts: Counter[str] = Counter()
        self._database, self._regions, self._chance, self._say = database, regions, chance, say
        self._stopped: dict[int, asyncio.Task[None]] = {}

    async def one(self) -> None:
        """Does something to one actor, or to several of a kind."""
        actors = self._targets()
        kind = "kill" if self._chance.random() < 0.5 else "stop"
        seconds = self._chance.choice((0.2, 1.0, 3.0, 8.0))
        for actor in actors:
            pid = await _pid_of(actor)
            if pid is None or pid in self._stopped:
                continue
            role = actor.partition(":")[0]
            self.counts[f"{kind} {role}"] += 1
            self._say(f"{kind} {actor}" + (f" for {seconds} s" if kind == "stop" else ""))
            if kind == "kill":
                _send(pid, signal.SIGKILL)
            else:
                _send(pid, signal.SIGSTOP)
                self._stopped[pid] = asyncio.create_task(self._go_on(pid, seconds))

    async def end(self) -> None:
        """Nothing is stopped any more."""
        for task in self._stopped.values():
            task.cancel()
        for pid in tuple(self._stopped):
            _send(pid, signal.SIGCONT)

    def _targets(self) -> list[str]:
        roll = self._chance.random()
        if roll < 0.35:
            return [f"primary:{self._database}"]
        if roll < 0.7:
            numbers = self._chance.sample(range(5), self._chance.choice((1, 1, 2, 2, 3, 5)))
            return [f"follower:{number}" for number in numbers]
        if roll < 0.9:
            return [f"replica:{self._database}:{self._chance.choice(self._regions)}"]
        return ["registry"]

    async def _go_on(self, pid: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        _send(pid, signal.SIGCONT)
        del self._stopped[pid]


async def _pid_of(actor: str) -> int | None:
    """The process of an actor, None while it has none that answers."""
    try:
        status: ActorStatus = await handles.call(actor, "status", seconds=2)
    except raylite.Error:
        return None
    return status.pid


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
