"""One run: faults, then none, then everything must come together."""

from __future__ import annotations

import msgspec

from raylite.actors.core.simulation.checkers import Checker
from raylite.actors.core.simulation.cores import PRODUCTION, Cores
from raylite.actors.core.simulation.faults import PARTITIONS, PAUSES, RESTARTS, Fault, Injector, Plan
from raylite.actors.core.simulation.history import Kind, Outcome
from raylite.actors.core.simulation.scan import Scan
from raylite.actors.core.simulation.system import System
from raylite.policies.errors import Error

FEWEST_WRITES = 200
LOOK_SECONDS = 0.25
HEAL_SECONDS = 30.0
"""Once all faults are over, all is well again within this time: two leases of silence, the lease, a replay, slack."""
MOST_EVENTS = 2_000_000
DEFAULT_PLAN = Plan()


class Report(msgspec.Struct, frozen=True):
    """What happened in one run. Times are virtual seconds."""

    seed: int
    writes: int
    acknowledged: int
    unknown: int
    reads: int
    sessions: int
    takeovers: int
    rebuilds: int
    faults: dict[Fault, int]
    seconds: float
    events: int
    violations: tuple[str, ...]

    def has(self, kinds: frozenset[Fault]) -> bool:
        """Whether any of these faults happened."""
        return any(kind in kinds for kind in self.faults)

    @property
    def shares(self) -> dict[str, bool]:
        """Which of the situations that matter most this run had."""
        return {
            "takeover": self.takeovers > 1,
            "partition": self.has(PARTITIONS),
            "follower restart": self.has(RESTARTS),
            "pause": self.has(PAUSES),
        }


def run(seed: int, cores: Cores = PRODUCTION, plan: Plan = DEFAULT_PLAN) -> Report:
    """The run of this seed; nothing but the arguments has a part in it."""
    return Run(seed, cores, plan).run()


class Run:
    """The course of one run."""

    def __init__(self, seed: int, cores: Cores, plan: Plan) -> None:
        self.seed = seed
        self.system = System(seed, cores)
        self.injector = Injector(self.system, plan)
        self._healed_at = 0.0
        self.system.world.after(LOOK_SECONDS, self._look)

    def run(self) -> Report:
        """Runs to the end."""
        checkers = self.system.checkers
        try:
            self.system.world.run(MOST_EVENTS)
            if not self.system.world.over:
                checkers.violated(Checker.STUCK, f"no end after {MOST_EVENTS} events")
        except (Error, AssertionError, LookupError) as error:
            checkers.violated("error", f"{type(error).__name__}: {error} at {self.system.world.now:.3f} s")
        Scan(checkers).check()
        return self._report()

    def _look(self) -> None:
        system = self.system
        if system.healing:
            self._look_whether_all_is_well()
        elif system.world.now > self.injector.ends_at and system.writes >= FEWEST_WRITES:
            self._heal()
        if not system.world.over:
            system.world.after(LOOK_SECONDS, self._look)

    def _heal(self) -> None:
        """No more faults."""
        system = self.system
        system.healing = True
        self._healed_at = system.world.now
        system.network.cut.clear()
        system.network.slow.clear()
        for follower in system.followers:
            follower.restart()
        for process in (*system.all_primaries, *system.processes()):
            if process.paused:
                process.resume()

    def _look_whether_all_is_well(self) -> None:
        system = self.system
        wrong = self._wrong()
        if not wrong and not system.stopping:
            system.stopping = True
        elif not wrong and not any(self._pending()):
            self._compare()
            system.world.over = True
        elif system.world.now - self._healed_at > HEAL_SECONDS:
            system.checkers.violated(Checker.STUCK, f"{HEAL_SECONDS} s after the last fault: {wrong}")
            system.world.over = True

    def _pending(self) -> list[bool]:
        return [one.outcome is Outcome.PENDING for one in self.system.checkers.operations[-50:]]

    def _wrong(self) -> str:
        """What is not yet as it should be, "" if nothing is."""
        system = self.system
        end = system.checkers.safe[system.checkers.safe_end]
        primary = system.newest
        late = [
            one for one in system.checkers.operations
            if one.kind is Kind.WRITE and one.outcome is Outcome.DONE and one.started > self._healed_at
        ]  # fmt: skip
        if len(late) < 3:
            return f"{len(late)} writes were acknowledged since"
        if primary.core.confirmed != end:
            return f"{primary.name} is at {primary.core.confirmed}, the log ends at {end}"
        for replica in system.replicas:
            if not replica.alive or replica.shown != end or not replica.file.ready:
                return f"{replica.name} is at {replica.shown}, the log ends at {end}"
        for member in primary.core.members.current:
            process = system.follower(member.follower)
            if process.member() == member.incarnation and not process.holds(end):
                return f"{member.follower} does not hold {end}"
        return ""

    def _compare(self) -> None:
        """All copies are the same."""
        scan = Scan(self.system.checkers)
        scan.check_copy(self.system.newest.name, self.system.newest.pages)
        for replica in self.system.replicas:
            scan.check_copy(replica.name, replica.file.view)

    def _report(self) -> Report:
        system, operations = self.system, self.system.checkers.operations
        writes = [one for one in operations if one.kind is Kind.WRITE]
        return Report(
            self.seed,
            len(writes),
            sum(one.outcome is Outcome.DONE for one in writes),
            sum(one.outcome is Outcome.UNKNOWN for one in writes),
            len(operations) - len(writes),
            len({one.session for one in operations}),
            system.takeovers,
            system.rebuilds,
            self.injector.happened,
            system.world.now,
            system.world.events,
            tuple(system.checkers.violations),
        )
