"""Faults that lead a run to where a defect shows, if there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from raylite.actors.core.simulation.faults import Plan, Script
from raylite.actors.core.simulation.primaries import Primary
from raylite.actors.core.simulation.system import Moment, System
from raylite.policies.session import FIRST_UNCONSTRAINED, PRIMARY_ONLY


def steered(script: Script, seconds: float = 4.0) -> Plan:
    """A run with nothing but the faults of this script."""
    return Plan(fewest=0, most=0, seconds=seconds, script=script)


# What scripts are made of


def at(system: System, seconds: float, action: Callable[[], None]) -> None:
    system.world.after(seconds, action)


def names(*numbers: int) -> list[str]:
    return [f"follower-{number}" for number in numbers]


def cut(system: System, some: Sequence[str], others: Sequence[str]) -> None:
    """Nothing passes between these any more."""
    system.network.cut.update((one, other) for one in some for other in others)
    system.network.cut.update((other, one) for one in some for other in others)


def heal(system: System, *between: Sequence[str]) -> None:
    """Everything passes again, or all that is between hosts of these."""
    if not between:
        system.network.cut.clear()
        return
    healed = {host for some in between for host in some}
    system.network.cut -= {(one, other) for one, other in system.network.cut if {one, other} <= healed}


def crash(system: System, *numbers: int, seconds: float) -> None:
    """Followers crash, and start anew after so many seconds."""
    for number in numbers:
        follower = system.followers[number]
        follower.crash()
        system.died(follower.process)
        at(system, seconds, follower.restart)


def client(system: System, primary: Primary, *, writes: float) -> None:
    """A client that holds on to this primary, whatever happens."""
    session = system.cores.session(system, f"client-{len(system.sessions)}", 0)
    session.writes, session.stubborn, session.known_primary = writes, True, primary
    session.state = PRIMARY_ONLY
    system.sessions.append(session)


def newcomer(system: System) -> None:
    """A client that has seen nothing, and reads from a replica."""
    session = system.cores.session(system, f"client-{len(system.sessions)}", 0)
    session.writes = 0.0
    session.start(FIRST_UNCONSTRAINED)
    system.sessions.append(session)


def nth_time(count: int, action: Callable[[Primary], None]) -> Callable[[Primary], None]:
    """Calls `action` at the `count`-th call only, counted from 1."""
    calls: list[Primary] = []

    def called(primary: Primary) -> None:
        calls.append(primary)
        if len(calls) == count:
            action(primary)

    return called


def two_sides(system: System, companions: int) -> None:
    """The primary and so many followers, with clients that write on, against the rest and a second primary."""
    old = system.newest
    side, others = [old.name, *names(*range(companions))], names(*range(companions, 5))
    cut(system, side, others)
    for _ in range(6):
        client(system, old, writes=1.0)
    system.crowd()
    system.start_primary()
    cut(system, side, [system.newest.name])


# Scripts


def divergence(companions: int) -> Script:
    """A primary goes on with a minority of followers while a second one takes over the others; then all is well."""

    def script(system: System) -> None:
        at(system, 0.5, partial(two_sides, system, companions))
        at(system, 3.5, partial(heal, system))

    return script


def overtaken(system: System) -> None:
    """As divergence, but the new primary reaches the old one's follower, which is not free to promise, as it begins."""

    def reach() -> None:
        heal(system, [system.newest.name], names(0))

    at(system, 0.5, partial(two_sides, system, 1))
    at(system, 1.7, reach)
    for moment in (2.8, 3.4, 3.6, 3.8):
        at(system, moment, partial(newcomer, system))
    at(system, 3.5, partial(heal, system))


def orphaned_tail(system: System) -> None:
    """Two followers hold what nobody confirmed; the primary dies, and the next one adopts it."""

    def die() -> None:
        heal(system)
        system.kill_primary()
        system.start_primary()

    def begin() -> None:
        cut(system, [system.newest.name, *names(0, 1)], names(2, 3, 4))
        system.crowd()
        at(system, 0.2, die)

    for turn in range(3):
        at(system, 0.5 + turn, begin)


def short_reign(system: System) -> None:
    """The second primary dies as soon as it is open; the third asks a follower with a longer, older log."""

    def die(primary: Primary) -> None:
        heal(system)
        system.kill_primary()
        system.start_primary()
        cut(system, [system.newest.name], names(3, 4))
        at(system, 3.5, partial(heal, system))

    at(system, 0.5, partial(two_sides, system, 1))
    system.watch(Moment.OPENED, nth_time(2, die))


def two_reigns(system: System) -> None:
    """Two followers hear of the new reign, then only of the old one; then a third reign begins with them."""

    def adopted(primary: Primary) -> None:
        heal(system, [primary.name], names(0, 1, 2))
        cut(system, [primary.name], names(3, 4))

    def opened(primary: Primary) -> None:
        cut(system, [primary.name], names(0, 1))
        at(system, 0.7, third)

    def third() -> None:
        for primary in list(system.all_primaries):
            system.gone(primary)
        heal(system)
        system.start_primary()
        cut(system, [system.newest.name], names(2))
        at(system, 4.0, partial(heal, system))

    at(system, 0.5, partial(two_sides, system, 2))
    system.watch(Moment.ADOPTED, nth_time(2, adopted))
    system.watch(Moment.OPENED, nth_time(2, opened))


def same_beginning(system: System) -> None:
    """Two reigns begin at the same place; the first one's beginning is with one follower only."""
    system.wall_clocks = False

    def first(primary: Primary) -> None:
        cut(system, [primary.name], names(1, 2, 3, 4))
        at(system, 0.1, end_first)

    def end_first() -> None:
        heal(system)
        system.kill_primary()
        system.start_primary()
        cut(system, [system.newest.name], names(0))

    def second(primary: Primary) -> None:
        heal(system)
        cut(system, [primary.name], names(3, 4))
        at(system, 1.5, partial(heal, system))

    system.watch(Moment.ADOPTED, nth_time(2, first))
    system.watch(Moment.ADOPTED, nth_time(3, second))
    at(system, 0.5, system.kill_primary)


def long_sleep(system: System) -> None:
    """A primary sleeps while another reigns, with its followers' last answers and a client's query waiting for it.

    When it goes on it reaches its clients only, so nobody tells it. No write waits for it: reads behind one would wait
    for the followers too.
    """

    def begin() -> None:
        old = system.newest
        system.crowd()
        at(system, 0.02, partial(sleep, old))
        at(system, 0.05, system.start_primary)
        system.watch(Moment.OPENED, nth_time(1, partial(wake, old)))

    def sleep(old: Primary) -> None:
        old.pause()
        for session in system.sessions:
            session.writes = 0.0

    def wake(old: Primary, new: Primary) -> None:
        cut(system, [old.name], names(0, 1, 2, 3, 4))
        client(system, new, writes=1.0)
        at(system, 0.2, partial(client, system, old, writes=0.0))
        at(system, 0.6, old.resume)

    at(system, 0.5, begin)
    at(system, 5.0, partial(heal, system))


def restarts_at_once(system: System) -> None:
    """All followers restart, and the primary, which its clients still reach, is cut off from them."""

    def begin() -> None:
        old = system.newest
        cut(system, [old.name], names(0, 1, 2, 3, 4))
        crash(system, 0, 1, 2, 3, 4, seconds=0.05)
        at(system, 0.06, system.start_primary)
        system.watch(Moment.OPENED, nth_time(1, partial(opened, old)))

    def opened(old: Primary, new: Primary) -> None:
        client(system, new, writes=1.0)
        at(system, 0.1, partial(client, system, old, writes=0.0))

    at(system, 0.5, begin)
    at(system, 4.0, partial(heal, system))


def torn_change(system: System) -> None:
    """The members change, and the first who hear of it are a quorum of the new set alone."""

    def begin() -> None:
        members = system.newest.core.members.current
        system.replace(system.newest, members[4], system.followers[5])

    def proposed(primary: Primary) -> None:
        side = [primary.name, *names(2, 3, 5)]
        cut(system, side, names(0, 1, 4))
        system.start_primary()
        cut(system, side, [system.newest.name])

    system.watch(Moment.PROPOSED, nth_time(1, proposed))
    at(system, 0.5, begin)
    at(system, 4.0, partial(heal, system))


def stale_hint(system: System) -> None:
    """The registry has not heard that the members changed, and asks the old ones."""

    def begin() -> None:
        members = system.newest.core.members.current
        system.replace(system.newest, members[4], system.followers[5])

    def part() -> None:
        cut(system, [system.newest.name, *names(2, 3, 5)], names(0, 1, 4))
        system.start_primary()

    at(system, 0.5, begin)
    at(system, 1.2, part)
    at(system, 4.5, partial(heal, system))


def lost_disk(system: System) -> None:
    """Of three followers that hold what is confirmed one loses its disk, and two are down."""

    def part() -> None:
        cut(system, [system.newest.name, *names(0, 1, 2)], names(3, 4))
        system.crowd()

    def lose() -> None:
        heal(system)
        system.kill_primary()
        crash(system, 0, seconds=0.1)
        system.followers[0].disk.lose()
        crash(system, 1, 2, seconds=3.0)

    at(system, 0.5, part)
    at(system, 1.0, lose)


def late_rebase(system: System) -> None:
    """Two followers miss what cold storage holds by then. All messages to them come twice, some of them late.

    As soon as one forgets what it had acknowledged, the primary and its companion are cut off.
    """
    reached = {3: 0, 4: 0}
    system.cold.used = True

    def come_back() -> None:
        system.network.duplication = 1.0
        system.crowd()
        at(system, 0.05, partial(cut, system, [system.newest.name], names(1, 2)))
        look()

    def look() -> None:
        if system.network.duplication == 0.0:
            return
        for number, before in reached.items():
            log = system.followers[number].process.log
            reached[number] = log.index.tail.sequence if log else before
            if reached[number] < before:
                part()
                return
        at(system, 0.0005, look)

    def part() -> None:
        system.network.duplication = 0.0
        side = [system.newest.name, *names(0)]
        cut(system, side, names(1, 2, 3, 4))
        system.start_primary()
        cut(system, side, [system.newest.name])

    def end() -> None:
        system.network.duplication = 0.0
        heal(system)

    at(system, 0.4, partial(crash, system, 3, 4, seconds=1.5))
    at(system, 1.92, come_back)
    at(system, 4.5, end)


def replicas_crash(system: System) -> None:
    """Replicas die with what nobody confirmed in their WAL."""

    def begin() -> None:
        cut(system, [system.newest.name], names(0, 1, 2, 3, 4))
        system.crowd()
        at(system, 0.15, die)
        at(system, 1.3, partial(newcomer, system))
        at(system, 1.4, partial(newcomer, system))

    def die() -> None:
        for replica in list(system.replicas):
            system.gone(replica)

    at(system, 0.5, begin)
    at(system, 2.0, partial(heal, system))
