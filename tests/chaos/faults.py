"""What a campaign does to actors, as its seed says: to their processes, streams, disks, clocks and files.

docs/faults.md says how much of each at once, and why not more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
from tests.chaos import damage, rules
from tests.chaos.rules import Clock, Cut, Disk, DiskFault

import raylite
from raylite.actors import handles
from raylite.policies.status import ActorStatus, Verified

Say = Callable[[str], None]
SECONDS = (0.2, 1.0, 3.0, 8.0)
JUMPS_SECONDS = (-86400, -3600, -10, 10, 3600, 86400)
RATES = (0.96, 0.98, 1.02, 1.04)
FOLLOWERS = tuple(f"follower:{number}" for number in range(5))


class Setting(msgspec.Struct, frozen=True):
    """Where a campaign takes place. folder: of the system's data; rules: of the file of `rules`."""

    database: str
    database_id: str
    regions: Sequence[str]
    folder: Path
    rules: Path

    @property
    def primary(self) -> str:
        """Its actor."""
        return f"primary:{self.database}"

    def place(self, actor: str) -> Path:
        """The directory of one of its copies, or of a follower."""
        role, _, rest = actor.partition(":")
        if role == "follower":
            return self.folder / "followers" / rest
        name = role if role == "primary" else f"replica-{rest.rpartition(':')[2]}"
        return self.folder / "databases" / self.database_id / name

    @property
    def archive(self) -> Path:
        """Its part of cold storage."""
        return self.folder / "cold" / "databases" / self.database_id


class Faults:
    """Of one campaign. counts: how often each was done; wrong: promises that they broke; `say` is told of each."""

    def __init__(self, setting: Setting, chance: random.Random, say: Say) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._setting, self._chance, self._say = setting, chance, say
        self._stopped: dict[int, asyncio.Task[None]] = {}
        self._rules: list[rules.Rule] = []
        self._flipped: asyncio.Task[None] | None = None
        self._kinds: dict[Callable[[random.Random], Awaitable[None]], int] = {
            self._kill: 22, self._stop: 18, self._cut: 24, self._break_disks: 14, self._set_clocks: 8,
            self._flip_journal: 6, self._flip_copy: 5, self._flip_object: 3,
        }  # fmt: skip

    async def one(self) -> None:
        """One fault, of one actor or of several. What it needs of chance does not depend on what happened before."""
        chance = random.Random(self._chance.getrandbits(64))
        (do,) = chance.choices([*self._kinds], [*self._kinds.values()])
        await do(chance)

    async def end(self) -> None:
        """All is well from now on: nothing is stopped, cut or off, and cold storage is what it was."""
        for task in self._stopped.values():
            task.cancel()
        for pid in tuple(self._stopped):
            _send(pid, signal.SIGCONT)
        rules.write(self._setting.rules, ())
        if self._flipped is not None:
            await self._flipped

    # Processes

    async def _kill(self, chance: random.Random) -> None:
        for actor in self._targets(chance):
            if await self._end(actor):
                self._did(f"kill {_role(actor)}", actor)

    async def _stop(self, chance: random.Random) -> None:
        seconds = chance.choice(SECONDS)
        for actor in self._targets(chance):
            pid = await _pid_of(actor)
            if pid is not None and pid not in self._stopped:
                self._did(f"stop {_role(actor)}", f"{actor} for {seconds} s")
                _send(pid, signal.SIGSTOP)
                self._stopped[pid] = asyncio.create_task(self._go_on(pid, seconds))

    def _targets(self, chance: random.Random) -> list[str]:
        roll = chance.random()
        if roll < 0.35:
            return [self._setting.primary]
        if roll < 0.7:
            return chance.sample(FOLLOWERS, chance.choice((1, 1, 2, 2, 3, 5)))
        return [self._replica(chance)] if roll < 0.9 else ["registry"]

    def _replica(self, chance: random.Random) -> str:
        return f"replica:{self._setting.database}:{chance.choice(self._setting.regions)}"

    async def _go_on(self, pid: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        _send(pid, signal.SIGCONT)
        del self._stopped[pid]

    async def _end(self, actor: str) -> bool:
        """Kills its process, if it has one that goes on."""
        pid = await _pid_of(actor)
        if pid is None or pid in self._stopped:
            return False
        _send(pid, signal.SIGKILL)
        return True

    # Streams, disks and clocks

    async def _cut(self, chance: random.Random) -> None:
        """One actor or several are cut off from all, from the primary, or from clients, both ways or one way."""
        one = self._targets(chance)
        others = [(), (self._setting.primary,), (rules.DRIVER,), tuple(chance.sample(FOLLOWERS, 3))]
        other = tuple(name for name in chance.choice(others) if name not in one)
        ways = chance.choice(("both", "both", "out", "in", "break"))
        seconds = chance.uniform(0.2, 8.0)
        cut = Cut(tuple(one), other, time.monotonic() + seconds, ways != "in", ways != "out", ways == "break")
        self._add(cut)
        self._did(f"cut {ways}", f"{', '.join(one)} from {', '.join(other) or 'all'} for {seconds:.1f} s")

    async def _break_disks(self, chance: random.Random) -> None:
        """A full disk is met by a process that starts: the journal has room for long otherwise."""
        fault, seconds = chance.choice(list(DiskFault)), chance.choice(SECONDS)
        for follower in chance.sample(FOLLOWERS, chance.choice((1, 1, 2, 3))):
            until = time.monotonic() + seconds
            self._add(Disk(follower, fault, until, chance.uniform(0.05, 1.0), chance.getrandbits(32)))
            self._did(f"disk {fault}", f"{follower} for {seconds} s")
            if fault is DiskFault.FULL:
                await self._end(follower)

    async def _set_clocks(self, chance: random.Random) -> None:
        seconds, everybody = (
            chance.choice(SECONDS),
            [*FOLLOWERS, self._setting.primary, self._replica(chance)],
        )
        for actor in chance.sample([*everybody, "registry"], chance.choice((1, 2, 4))):
            jump, rate = chance.choice(JUMPS_SECONDS), chance.choice(RATES)
            self._add(Clock(actor, time.monotonic() + seconds, jump * 1_000_000, rate))
            self._did("clock", f"{actor} by {jump:+} s, at {rate} for {seconds} s")

    def _add(self, rule: rules.Rule) -> None:
        now = time.monotonic()
        self._rules = [*(one for one in self._rules if one.until > now), rule]
        rules.write(self._setting.rules, self._rules)

    # Files

    async def _flip_journal(self, chance: random.Random) -> None:
        """Of one follower, while all five have what they should."""
        follower = chance.choice(FOLLOWERS)
        if not await self._all_hold():
            self.counts["not flipped"] += 1
            return
        await self._flip(follower, damage.flip_journal, chance)

    async def _flip_copy(self, chance: random.Random) -> None:
        actor = chance.choice((self._setting.primary, self._replica(chance)))
        await self._flip(actor, damage.flip_copy, chance)

    async def _flip(
        self, actor: str, flip: Callable[[Path, random.Random], str], chance: random.Random
    ) -> None:
        place = self._setting.place(actor)
        if not await self._end(actor):
            return
        self._did(f"kill {_role(actor)}", actor)
        with contextlib.suppress(BlockingIOError):  # its next process was faster
            async with damage.held(place):
                if where := await asyncio.to_thread(flip, place, chance):
                    self._did(f"flip {_role(actor)}", f"{actor}: {where}")

    async def _all_hold(self) -> bool:
        """Whether all followers say that they have lost nothing, and no primary misses one: as far as one can ask."""
        actors = (*FOLLOWERS, self._setting.primary, "registry")
        found = await asyncio.gather(*map(_status_of, actors))
        problems = [problem for one in found if one is not None for problem in one.problems]
        lost = any("given up" in one or "holds this database no more" in one for one in problems)
        return None not in found and not lost

    async def _flip_object(self, chance: random.Random) -> None:
        """One object of cold storage at a time, for a while: nothing else may hold what followers have trimmed."""
        seconds = chance.choice(SECONDS)
        found = await asyncio.to_thread(damage.objects, self._setting.archive)
        if found and (self._flipped is None or self._flipped.done()):
            path = chance.choice(found)
            place = damage.flip_object(path, chance)
            self._did("flip cold storage", f"{path.relative_to(self._setting.archive)} for {seconds} s")
            self._flipped = asyncio.create_task(self._flip_back(path, *place, seconds))

    async def _flip_back(self, path: Path, offset: int, bit: int, seconds: float) -> None:
        """`verify` may call the object damaged meanwhile; what it says is whole must be what the database is."""
        with contextlib.suppress(raylite.Error):
            verified: Verified = await handles.call(self._setting.primary, "verify", seconds=seconds)
            wrong = [one for one in verified.problems if not one.startswith("cold storage is damaged at")]
            self.wrong += [f"a flipped bit in {path} was believed: {one}" for one in wrong]
            self.counts["flip cold storage, noticed"] += bool(verified.problems)
        await asyncio.sleep(seconds)
        with contextlib.suppress(FileNotFoundError):
            damage.flip(path, offset, bit)

    def _did(self, kind: str, what: str) -> None:
        self.counts[kind] += 1
        self._say(f"{kind}: {what}")


def _role(actor: str) -> str:
    return actor.partition(":")[0]


async def _pid_of(actor: str) -> int | None:
    """The process of an actor, None while it has none that answers."""
    status = await _status_of(actor)
    return status.pid if status is not None else None


async def _status_of(actor: str) -> ActorStatus | None:
    try:
        found: ActorStatus = await handles.call(actor, "status", seconds=2)
    except raylite.Error:
        return None
    return found


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
