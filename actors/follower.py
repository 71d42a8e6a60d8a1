"""A durability follower: one journal for many databases, one sync for all that waits.

The rules are `FollowerLog`'s (docs/architecture.md, Followers); here its effects become journal records, and a reply
leaves when the records before it are synced.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import cast

from raylite.actors.core import follower as core
from raylite.actors.core import messages as m
from raylite.actors.core.log import LogIndex
from raylite.actors.service import Service, Surroundings, boottime
from raylite.actors.storage.copy_removal import remove_copies
from raylite.actors.storage.files import Files
from raylite.actors.storage.log_directory import Owner
from raylite.actors.storage.log_file import Journal
from raylite.actors.storage.log_records import Change, Location, Record, StoreJoined
from raylite.actors.storage.log_state import Recovered
from raylite.actors.storage.log_writer import GroupCommit, Outcome
from raylite.actors.stream import Connection, Endpoint, Payload, to_failure
from raylite.policies import limits
from raylite.policies.bookmark import origin
from raylite.policies.errors import Corrupt, Error, ForeignDirectory, StorageFailed, StorageFull, Unreachable
from raylite.policies.status import ActorStatus
from raylite.policies.system import Settings

TICK_SECONDS = limits.LEASE_SECONDS / 20

Reply = asyncio.Future[Payload]


class Follower(Service):
    """One follower actor. `_logs` answers at once; `_stored_logs` is what of it is synced, and where."""

    def __init__(
        self,
        name: str,
        region: str,
        directory: str,
        settings: Settings,
        around: Surroundings,
        files: Files | None = None,
    ) -> None:
        """directory: within its node's data directory; files: the disk of its journal, if not the system's."""
        super().__init__(name, region, settings, around)
        self._directory, self._files = self.place(directory), files
        self._logs: dict[str, core.FollowerLog] = {}
        self._stored_logs: dict[str, Recovered] = {}
        self._journal: Journal | None = None
        self._commit: GroupCommit | None = None
        self._full: Error | None = None
        self._tried = asyncio.Event()
        self.hold(self._open())

    async def endpoint(self) -> Endpoint:
        """Where this follower listens, once its journal is open, or it is known that a full disk prevents that."""
        await self._tried.wait()
        return await super().endpoint()

    # Requests

    def handle(
        self, connection: Connection | None, payload: Payload
    ) -> Payload | Awaitable[Payload | None] | None:
        """Relay messages, in order; raises `Overloaded` if too much waits.

        Before the journal is open it raises `Unreachable`, or `StorageFull` if that is why.
        """
        if self._commit is None:
            raise self._full or Unreachable(self.name, "its journal is not open yet")
        if not isinstance(payload, m.ToFollower):
            raise Unreachable(self.name, f"a follower does not answer {type(payload).__name__}")
        self._commit.check_room()
        reply: Reply = asyncio.get_running_loop().create_future()
        if isinstance(payload, m.Join) and payload.database not in self._logs:
            self._join(payload.database, reply)
            return reply
        if isinstance(payload, m.Drop):
            return self._drop(payload, reply)
        log = self._logs.get(payload.database)
        if log is None:
            return m.Unknown(payload.database, getattr(payload, "number", 0))
        log.has_room = self._commit.has_room
        self._carry_out(payload.database, log.receive(payload, reply, boottime()))
        return reply

    def _drop(self, payload: m.Drop, reply: Reply) -> Awaitable[Payload | None]:
        """The log goes now, in order; the answer waits until that is durable and no copy is left on this node."""
        log = self._logs.get(payload.database)
        if log is None:
            reply.set_result(m.Dropped(payload.database))
        else:
            self._carry_out(payload.database, log.receive(payload, reply, boottime()))
        return self._without_copies(payload.database, reply)

    async def _without_copies(self, database: str, reply: Reply) -> Payload:
        answer = await reply
        if isinstance(answer, m.Dropped):
            await asyncio.to_thread(remove_copies, self.place(os.path.join("databases", database)))
        return answer

    def _join(self, database: str, reply: Reply) -> None:
        """Makes an incarnation and an empty log; the answer waits until both are durable."""
        incarnation = secrets.token_hex(8)
        self._logs[database] = core.FollowerLog(
            database, incarnation, LogIndex(origin(database), None), started=boottime()
        )
        self._stored_logs[database] = Recovered(database)
        self._submit(database, [StoreJoined(incarnation)], [(reply, m.Joined(database, incarnation))])

    def _carry_out(self, database: str, effects: Sequence[core.Effect]) -> None:
        changes: list[Change] = []
        replies: list[tuple[Reply, Payload]] = []
        for effect in effects:
            match effect:
                case core.Reply(to, message):
                    replies.append((cast(Reply, to), message))
                case core.Load():
                    self.hold(self._load(database, effect))
                case _:
                    changes.append(effect)
        if changes or replies:
            self._submit(database, changes, replies)

    # The journal

    def _submit(
        self, database: str, changes: Sequence[Change], replies: Sequence[tuple[Reply, Payload]]
    ) -> None:
        assert self._commit is not None, "requests are taken once the journal is open"
        records = [Record(database, change) for change in changes]
        self._commit.submit(records, partial(self._stored, database, changes, replies))

    def _stored(
        self,
        database: str,
        changes: Sequence[Change],
        replies: Sequence[tuple[Reply, Payload]],
        result: Outcome,
    ) -> None:
        """All of it is synced and the replies may leave; or none of it counts, and the log goes back to the disk's."""
        if isinstance(result, StorageFailed):
            self.around.crash(result)
        elif isinstance(result, Error):
            self._full = result
            if database in self._stored_logs:
                self._restore(database)
            _settle([(reply, _refusal(message, result)) for reply, message in replies])
        else:
            self._full = None
            self._apply(database, changes, result)
            _settle(replies)

    def _apply(self, database: str, changes: Sequence[Change], locations: Sequence[Location]) -> None:
        stored = self._stored_logs[database]
        try:
            for change, location in zip(changes, locations, strict=True):
                stored.apply(change, location)
        except (
            Corrupt
        ) as error:  # what was just stored does not follow what was: our bug, and nothing to vouch for
            self.around.crash(error)
            raise

    def _restore(self, database: str) -> None:
        """Makes the log anew from what is stored; a database that was never joined durably is unknown again."""
        stored = self._stored_logs[database]
        if not stored.incarnation:
            del self._logs[database], self._stored_logs[database]
            return
        self._logs[database] = core.FollowerLog(
            database,
            stored.incarnation,
            LogIndex(stored.base, stored.members, [piece for piece, _ in stored.pieces]),
            promised=stored.promised,
            confirmed=stored.confirmed,
            gave_up=stored.gave_up,
            dropped=stored.dropped,
            started=boottime(),
        )

    async def _load(self, database: str, effect: core.Load) -> None:
        """Reads pieces, once what was submitted before is stored."""
        settled: Reply = asyncio.get_running_loop().create_future()
        self._submit(database, (), [(settled, m.Released(database))])
        await settled
        reply = cast(Reply, effect.to)
        assert self._journal is not None, "requests are taken once the journal is open"
        locations = self._locations(database, effect)
        try:
            pieces = await asyncio.to_thread(self._journal.read_many, locations)
        except Corrupt as error:
            self.around.crash(error)
            return
        if not reply.done():
            reply.set_result(m.Pieces(database, effect.after, pieces, effect.tail, effect.confirmed))

    def _locations(self, database: str, effect: core.Load) -> list[Location]:
        """Where the wanted pieces are, up to the first that was cut away meanwhile."""
        start = self._logs[database].index.find(effect.after)
        if start is None:
            return []
        stored = self._stored_logs[database].pieces[start : start + len(effect.pieces)]
        pairs = zip(stored, effect.pieces, strict=False)
        return [location for (held, location), wanted in pairs if held.place == wanted.place]

    async def _open(self) -> None:
        """Reads the journal, again and again while the disk is full; whatever it recovered is durable.

        In another follower's directory it never opens: it answers nothing, and `status` says why.
        """
        owner = Owner(self.name, self.settings.system_id)
        while self._journal is None:
            try:
                self._journal = await asyncio.to_thread(Journal.open, self._directory, owner, self._files)
            except ForeignDirectory as error:
                self._full = error
                self._tried.set()
                return
            except StorageFull as error:
                self._full = error
                self._tried.set()
                await asyncio.sleep(limits.FULL_RETRY_SECONDS)
        self._stored_logs = self._journal.recovered
        for database in self._stored_logs:
            self._restore(database)
        self._commit = GroupCommit(self._journal, asyncio.get_running_loop())
        self._full = None
        self._tried.set()
        self.hold(self._miss_primaries())
        await self._tick()

    async def _tick(self) -> None:
        """Answers promises that waited for a lease."""
        while True:
            for database, log in self._logs.items():
                self._carry_out(database, log.tick(boottime()))
            await asyncio.sleep(TICK_SECONDS)

    def _room_problems(self) -> list[str]:
        if self._full is not None:
            return [str(self._full)]
        if self._commit is None or self._commit.has_room:
            return []
        return [
            f"the disk of {self._directory} has no room for the journal's next {limits.SEGMENT_BYTES >> 20} MiB: "
            "writes are refused if it is so with two more followers; free space, it goes on by itself"
        ]

    async def _miss_primaries(self) -> None:
        """Tells the registry of primaries that were heard since this start and are silent for two leases.

        It may be the registry's own; then whoever cannot reach it replaces it (`Surroundings.report_silent`).
        """
        gone: set[str] = set()
        while True:
            await asyncio.sleep(limits.LEASE_SECONDS / 4)
            now = boottime()
            missed = [
                name for name, log in self._logs.items() if log.missed_seconds(now) >= limits.LEASE_SECONDS
            ]
            reported = [name for name in missed if name not in gone][: limits.REPORTED_DATABASES]
            if reported:
                gone.update(await self.around.report_silent(reported))
                await asyncio.sleep(limits.LEASE_SECONDS)

    async def stop(self) -> None:
        """Ends service, then the journal once all that waits is synced."""
        await super().stop()
        if self._commit is not None:
            await asyncio.to_thread(self._commit.close)

    async def status(self) -> ActorStatus:
        """How this follower is."""
        lost = [database for database, log in self._logs.items() if log.gave_up]
        damaged = [f"its log of database {database} was damaged and is given up" for database in lost]
        problems = (*damaged, *self._room_problems())
        state = "storing" if self._commit is not None else "opening its journal"
        return ActorStatus(
            self.name,
            "follower",
            self.region,
            os.getpid(),
            state,
            databases=sum(not log.dropped for log in self._logs.values()),
            problems=problems,
        )


def _settle(replies: Sequence[tuple[Reply, Payload]]) -> None:
    for reply, message in replies:
        if not reply.done():
            reply.set_result(message)


def _refusal(message: Payload, error: Error) -> Payload:
    """What to answer instead of `message`, which vouches for something that was not stored."""
    refusal = core.refusal_for_room(message) if isinstance(message, m.FromFollower) else None
    return refusal or to_failure(error)
