"""What is wrong with the world of a campaign's actors: one small file, which each of their processes reads.

Times are seconds on `time.monotonic`, which the processes of one machine share. Every rule ends by itself, so a
campaign that dies leaves nothing behind.
"""

from __future__ import annotations

import enum
import os
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

FOLDER_VARIABLE = "RAYLITE_CHAOS"
"""Names the folder of the file; only campaigns set it."""
DRIVER = "driver"
_NAME = "rules.json"


class Cut(msgspec.Struct, frozen=True):
    """Streams between the actors `one` and `other`, or everybody else if that is empty.

    to_other, to_one: which way nothing arrives; what is sent meanwhile arrives in the end, unless it `breaks` them.
    """

    one: tuple[str, ...]
    other: tuple[str, ...]
    until: float
    to_other: bool = True
    to_one: bool = True
    breaks: bool = False

    def stops(self, source: str, target: str) -> bool:
        """Whether nothing arrives that way."""
        return (self.to_other and self._leads(source, target)) or (
            self.to_one and self._leads(target, source)
        )

    def _leads(self, source: str, target: str) -> bool:
        return source in self.one and (target in self.other or (not self.other and target not in self.one))


class DiskFault(enum.StrEnum):
    """SLOW: syncs take long; FAILED_SYNC: they fail, and part of what they covered is lost; FULL: nothing can be
    reserved; TORN: at the next write part of it is done, and the process dies."""

    SLOW = "slow"
    FAILED_SYNC = "failed sync"
    FULL = "full"
    TORN = "torn"


class Disk(msgspec.Struct, frozen=True):
    """The disk of a follower's journal. seconds: of each slow sync; seed: of which parts are lost."""

    follower: str
    fault: DiskFault
    until: float
    seconds: float = 0.0
    seed: int = 0


class Clock(msgspec.Struct, frozen=True):
    """An actor's clocks: the wall clock is off by `jump_us`, the one of leases runs at `rate`."""

    actor: str
    until: float
    jump_us: int = 0
    rate: float = 1.0


Rule = Cut | Disk | Clock


class _Rules(msgspec.Struct, frozen=True):
    cuts: tuple[Cut, ...] = ()
    disks: tuple[Disk, ...] = ()
    clocks: tuple[Clock, ...] = ()


def write(folder: Path, rules: Iterable[Rule]) -> None:
    """Puts these rules in the place of all that were there."""
    now = list(rules)
    found = _Rules(
        tuple(one for one in now if isinstance(one, Cut)),
        tuple(one for one in now if isinstance(one, Disk)),
        tuple(one for one in now if isinstance(one, Clock)),
    )
    (folder / f"{_NAME}.new").write_bytes(msgspec.json.encode(found))
    os.replace(folder / f"{_NAME}.new", folder / _NAME)


class World:
    """The rules in a folder as one actor meets them; read again when they change. `me`: its name, once it has one."""

    def __init__(self, folder: Path, me: str = "") -> None:
        self.me = me
        self._path = folder / _NAME
        self._read = (0, 0)
        self._rules = _Rules()

    def cut(self, source: str, target: str) -> Cut | None:
        """What lets nothing arrive that way now; of several the one that lasts longest."""
        found = [
            one for one in self._current().cuts if one.stops(_role(source), _role(target)) and _lasts(one)
        ]
        return max(found, key=lambda one: one.until, default=None)

    def disk(self, follower: str) -> Disk | None:
        """What is wrong with this follower's disk now."""
        found = (one for one in self._current().disks if one.follower == follower and _lasts(one))
        return next(found, None)

    @property
    def clock(self) -> Clock | None:
        """What is wrong with this actor's clocks now."""
        found = (one for one in self._current().clocks if one.actor == self.me and _lasts(one))
        return next(found, None)

    def _current(self) -> _Rules:
        try:
            found = self._path.stat()
            if (found.st_mtime_ns, found.st_ino) != self._read:
                self._rules = msgspec.json.decode(self._path.read_bytes(), type=_Rules)
                self._read = found.st_mtime_ns, found.st_ino
        except FileNotFoundError:
            self._rules = _Rules()
        return self._rules


def _role(actor: str) -> str:
    """Drivers have a process id in their names."""
    return DRIVER if actor.startswith(f"{DRIVER}:") else actor


def _lasts(rule: Rule) -> bool:
    return time.monotonic() < rule.until
