"""A clock port that is off: the wall clock jumps and jumps back, the one of leases runs too fast or too slow."""

from __future__ import annotations

import time

from tests.chaos.rules import World


class WrongClocks:
    """In the place of the module `time`, as far as `raylite.actors.service` uses it.

    The clock of leases never jumps or goes back, for the protocol counts on that: it only has another rate for a
    while. Of two clocks the rates may differ by less than a tenth (docs/GUARANTEES.md).
    """

    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME

    def __init__(self, world: World) -> None:
        self._world = world
        self._true_at = self._shown_at = time.clock_gettime(time.CLOCK_BOOTTIME)

    def clock_gettime(self, which: int) -> float:
        """Seconds on the clock of leases."""
        assert which == time.CLOCK_BOOTTIME, "leases count on one clock"
        wrong, now = self._world.clock, time.clock_gettime(which)
        self._shown_at += (now - self._true_at) * (wrong.rate if wrong else 1.0)
        self._true_at = now
        return self._shown_at

    def time_ns(self) -> int:
        """Nanoseconds since 1970, more or less."""
        wrong = self._world.clock
        return time.time_ns() + (wrong.jump_us * 1000 if wrong else 0)
