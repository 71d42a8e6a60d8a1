"""The simulated system: all processes, and a registry that never fails and starts primaries anew."""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import partial

from raylite.actors.core import messages as m
from raylite.actors.core.shipping import Bounds
from raylite.actors.core.simulation.checkers import Checker, Checkers
from raylite.actors.core.simulation.cold import Cold
from raylite.actors.core.simulation.cores import Cores
from raylite.actors.core.simulation.followers import Follower, FollowerProcess
from raylite.actors.core.simulation.network import Network
from raylite.actors.core.simulation.primaries import Directory, Primary
from raylite.actors.core.simulation.replicas import Replica, ReplicaDirectory
from raylite.actors.core.simulation.sessions import Session
from raylite.actors.core.simulation.world import Process, World
from raylite.actors.core.takeover import Adopted
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.limits import FOLLOWERS, LEASE_SECONDS, REPLACE_SECONDS
from raylite.policies.quorum import Member, Members, is_quorum

DATABASE = "simulated"
SPARE_FOLLOWERS = 2
ENOUGH_WRITES = 200


class Moment(enum.Enum):
    """ADOPTED: a quorum has promised; PROPOSED: members are about to change; OPENED: a reign takes queries."""

    ADOPTED = enum.auto()
    PROPOSED = enum.auto()
    OPENED = enum.auto()


class System:
    """Five followers and spare ones, a primary, replicas, and clients."""

    def __init__(self, seed: int, cores: Cores) -> None:
        self.world = World(seed)
        self.cores, self.database = cores, DATABASE
        self.cold = Cold(origin(DATABASE), seed)
        random = self.world.random
        self.network = Network(self.world)
        self.bounds = random.choice((Bounds(), Bounds(4000, 1000, 2000, 0), Bounds(12_000, 3000, 3000, 2)))
        self.wall_clocks = self.world.chance(0.9)
        self.lost_disks = self.takeovers = self.rebuilds = 0
        self.healing = self.stopping = False
        self.writes = 0
        self._crowded_until = 0.0
        self._watchers: list[tuple[Moment, Callable[[Primary], None]]] = []
        self.sessions: list[Session] = []
        self._replacing_at = -REPLACE_SECONDS
        self._primaries = self._fresh = 0
        self._start_followers()
        self._keys = cores.keys(most=random.choice((3, 10, 1000)))
        self.directory = Directory("directory-0", origin(DATABASE), self._keys)
        self.all_primaries: list[Primary] = []
        self.newest = self._make_primary()
        self.replicas = [
            Replica(self, ReplicaDirectory(f"replica-{one}", origin(DATABASE)))
            for one in range(random.choice((1, 2)))
        ]
        self.sessions = [
            cores.session(self, f"session-{one}", one % len(self.replicas))
            for one in range(random.randint(4, 6))
        ]
        self.world.after(0.25, self._watch)
        self._crowd_now_and_then()

    def _start_followers(self) -> None:
        names = [f"follower-{one}" for one in range(FOLLOWERS + SPARE_FOLLOWERS)]
        members = Members(tuple(Member(name, f"{name}.1") for name in names[:FOLLOWERS]))
        self.checkers = Checkers(origin(DATABASE), members)
        self.followers = [
            Follower(
                self.world, name, DATABASE, self.checkers, self.cores.follower, self.cores.follower_process
            )
            for name in names
        ]
        self.members = members
        for follower in self.followers[:FOLLOWERS]:
            follower.process.receive(m.Join(DATABASE), _ignore)
            follower.process.receive(m.Found(DATABASE, f"{follower.name}.1", members), _ignore)
            follower.disk.sync(len(follower.disk.records))

    # What actors ask

    def follower(self, name: str) -> FollowerProcess:
        """The newest process of this follower."""
        return self.followers[int(name.rpartition("-")[2])].process

    def primary(self) -> Process | None:
        """The newest primary's process."""
        return self.newest

    def replica(self, index: int) -> Process:
        """The newest process of this replica."""
        return self.replicas[index]

    def processes(self) -> list[Process]:
        """Everyone who has a place in the network."""
        followers: list[Process] = [one.process for one in self.followers]
        return [*followers, self.newest, *self.replicas, *self.sessions]

    def somebody(self) -> Session:
        """A session, any."""
        return self.world.random.choice(self.sessions)

    def next_write(self) -> int:
        """A number for a write, never given before."""
        self.writes += 1
        return self.writes

    def think_seconds(self) -> float:
        """Clients are quick where it matters, and slow once they have written enough."""
        if self.world.now < self._crowded_until:
            return 0.004 * self.world.random.random()
        return self.world.random.expovariate(1) * (0.3 if self.writes < ENOUGH_WRITES else 2.0)

    def crowd(self) -> None:
        """Clients hurry for a moment: something is about to happen."""
        self._crowded_until = self.world.now + 0.06
        for session in self.sessions:
            session.hurry()

    def _crowd_now_and_then(self) -> None:
        if self.writes < ENOUGH_WRITES:
            self.crowd()
            self.world.after(self.world.random.uniform(0.2, 0.9), self._crowd_now_and_then)

    def adopted(self, primary: Primary, adopted: Adopted) -> None:
        """A quorum has promised."""
        self._tell(Moment.ADOPTED, primary)

    def proposed(self, primary: Primary) -> None:
        """A change of the members is about to be written."""
        self._tell(Moment.PROPOSED, primary)

    def confirmed(self, primary: Primary) -> None:
        """A primary has confirmed something: by now the leases of all before it are over."""
        for other in self.all_primaries:
            leader = other.core.leader
            if leader is None or not other.alive or leader.epoch >= primary.core.epoch:
                continue
            if leader.may_answer(other.now()):
                what = f"{other.name} may answer while {primary.name} confirms"
                self.checkers.violated(Checker.LEASE, what)

    def watch(self, moment: Moment, action: Callable[[Primary], None]) -> None:
        """Calls `action` at each moment of this kind."""
        self._watchers.append((moment, action))

    def _tell(self, moment: Moment, primary: Primary) -> None:
        for wanted, action in self._watchers:
            if wanted is moment:
                action(primary)

    def opened(self, primary: Primary) -> None:
        """A reign is open; the registry's copy of the members follows it."""
        self.takeovers += 1
        self._tell(Moment.OPENED, primary)
        self.members = primary.core.members

    def rebuilt(self, shown: Bookmark) -> None:
        """A replica is told that what it shows is not in the log; never so if that is safe, and not trimmed."""
        self.rebuilds += 1
        if self.checkers.is_safe(shown) and shown.sequence >= self.cold.trimmed.sequence:
            self.checkers.violated(
                Checker.CONVERGED, f"a replica at {shown}, which is safe, was told to rebuild"
            )

    # Life and death

    def died(self, process: Process) -> None:
        """A process is dead; its connections end."""
        process.kill()
        for connection in self.network.connections:
            connection.died(process)
        for session in self.sessions:
            if session.errand is not None:
                session.errand.died(process)

    def gone(self, process: Process) -> None:
        """A process has ended, and somebody starts it anew."""
        if not process.alive:
            return
        self.died(process)
        if isinstance(process, Replica):
            self.world.after(self.world.random.uniform(0.05, 1.0), partial(self._restart_replica, process))

    def _restart_replica(self, old: Replica) -> None:
        index = self.replicas.index(old)
        if old.directory.file.certain == old.directory.file.origin:
            self.cold.restore(old.directory.file)
        self.replicas[index] = Replica(self, old.directory)

    def kill_primary(self) -> None:
        """SIGKILL."""
        self.gone(self.newest)

    def _make_primary(self) -> Primary:
        """A new process; without the lock of the usual directory it takes a fresh one."""
        self._primaries += 1
        if not self.directory.is_free:
            self._fresh += 1
            self.directory = Directory(f"directory-{self._fresh}", origin(DATABASE), self._keys)
        primary = self.cores.primary_process(self, f"primary-{self._primaries}", self.directory, self.members)
        self.all_primaries = [one for one in self.all_primaries if one.alive]
        self.all_primaries.append(primary)
        return primary

    def start_primary(self) -> None:
        """Another primary, whether or not there is one."""
        self.newest = self._make_primary()

    # The registry

    def report_missing(self) -> None:
        """Replaces a primary that somebody misses, unless a quorum still gives it a lease."""
        if self.world.now - self._replacing_at < REPLACE_SECONDS or self._is_leased():
            return
        self._replacing_at = self.world.now
        if self.newest.alive and self.world.chance(0.7):
            self.gone(self.newest)
        self.start_primary()

    def _is_leased(self) -> bool:
        leased: list[Member] = []
        for member in self.members.everyone:
            process = self.follower(member.follower)
            answers = process.alive and not process.paused
            if answers and process.log is not None and process.log.lease_seconds(process.now()) > 0:
                leased.append(member)
        return is_quorum(self.members, leased)

    def _watch(self) -> None:
        """What Ray does: a dead primary is started anew."""
        if not self.newest.alive:
            self.world.after(self.world.random.uniform(0.05, 0.5), self._revive)
        self.world.after(LEASE_SECONDS / 4, self._watch)

    def _revive(self) -> None:
        if not self.newest.alive:
            self.start_primary()

    # Members

    def change_members(self) -> None:
        """Somebody wants a follower replaced: one whose disk is lost, or any."""
        primary = self.newest
        if not primary.alive or primary.paused:
            return
        current = primary.core.members.current
        outsiders = [one for one in self.followers if all(one.name != member.follower for member in current)]
        if not outsiders:
            return
        lost = [member for member in current if not self._knows(member)]
        leaving = lost[0] if lost else self.world.random.choice(current)
        same = [one for one in self.followers if lost and one.name == leaving.follower]
        self.replace(primary, leaving, self.world.random.choice([*outsiders, *same]))

    def replace(self, primary: Primary, leaving: Member, joining: Follower) -> None:
        """Asks a follower to join, and the primary to put it in another's place."""
        if joining.process.alive and not joining.process.paused:
            joining.process.receive(m.Join(DATABASE), partial(self._joined, primary, leaving, joining.name))

    def _knows(self, member: Member) -> bool:
        log = self.follower(member.follower).log
        return log is not None and log.incarnation == member.incarnation

    def _joined(self, primary: Primary, leaving: Member, name: str, reply: m.FromFollower) -> None:
        if not isinstance(reply, m.Joined):
            return
        newcomer = Member(name, reply.incarnation)
        current = primary.core.members.current
        if newcomer in current or leaving not in current:
            return
        following = tuple(newcomer if member == leaving else member for member in current)
        primary.run(lambda: primary.carry_out(primary.core.change_members(following, primary.now())))


def _ignore(reply: m.FromFollower) -> None:
    """Nobody waits for this answer."""
