"""Faults that lead a run to where a defect shows, if there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from raylite.actors.core.simulation.faults import Plan, Script
from raylite.actors.core.simulation.system import System


def names(*numbers: int) -> list[str]:
    return [f"follower-{number}" for number in numbers]


def cut(system: System, some: Sequence[str], others: Sequence[str]) -> None:
    """Nothing passes between these any more."""
    system.network.cut.update((one, other) for one in some for other in others)
    system.network.cut.update((other, one) for one in some for other in others)


def heal(system: System) -> None:
    system.network.cut.clear()


def cut_off_primary(system: System, companions: int) -> None:
    """The primary keeps its clients and so many followers; a second one starts among the others."""
    chosen = system.world.random.sample(range(5), 5)
    with_it, others = names(*chosen[:companions]), names(*chosen[companions:])
    cut(system, [system.newest.name, *with_it], others)
    system.crowd()


def divergence(companions: Sequence[int], times: int = 3) -> Script:
    """Again and again a primary goes on with a minority of followers while a second one takes over the others."""

    def script(system: System) -> None:
        for turn in range(times):
            begin = 0.4 + 3.4 * turn
            count = companions[turn % len(companions)]
            at(system, begin, partial(cut_off_primary, system, count))
            at(system, begin + 0.15, system.start_primary)
            at(system, begin + 2.9, partial(heal, system))

    return script


def at(system: System, seconds: float, action: Callable[[], None]) -> None:
    system.world.after(seconds, action)


def steered(script: Script, seconds: float = 10.0) -> Plan:
    """A run with nothing but these faults."""
    return Plan(fewest=0, most=0, seconds=seconds, script=script)
