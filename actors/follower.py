"""A durability follower: one journal for many databases, one sync for all that waits.

It opens its journal, answers relay messages from the logs in it (docs/architecture.md, Followers), and says whose
primary is missed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable

from raylite.actors.cold.boot import open_archive
from raylite.actors.core import messages as m
from raylite.actors.service import Service, Surroundings, boottime
from raylite.actors.storage.copy_removal import remove_copies
from raylite.actors.storage.files import Files
from raylite.actors.storage.log_directory import Owner
from raylite.actors.storage.log_file import Journal
from raylite.actors.stored_logs import Reply, StoredLogs
from raylite.actors.stream import Connection, Endpoint, Payload
from raylite.policies import limits
from raylite.policies.errors import Error, ForeignDirectory, StorageFull, Unreachable
from raylite.policies.status import ActorStatus
from raylite.policies.system import Settings

TICK_SECONDS = limits.LEASE_SECONDS / 20


class Follower(Service):
    """One follower actor. `_logs` is there once its journal is open; until then `_unopened` may say why it is not."""

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
        self._logs: StoredLogs | None = None
        self._unopened: Error | None = None
        self._tried = asyncio.Event()
        self._look_at, self._unseen = 0.0, ""
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
        if self._logs is None:
            raise self._unopened or Unreachable(self.name, "its journal is not open yet")
        if not isinstance(payload, m.ToFollower):
            raise Unreachable(self.name, f"a follower does not answer {type(payload).__name__}")
        match payload:
            case m.Drop():
                return self._without_copies(payload.database, self._logs.drop(payload))
            case m.Trim():
                return self._trim(self._logs, payload)
            case _:
                return self._logs.receive(payload)

    async def _trim(self, logs: StoredLogs, payload: m.Trim) -> Payload | None:
        """Forgets only what this node could read from cold storage again; raises what looking there does."""
        if boottime() >= self._look_at:
            await self._look(payload.database)
        answer = logs.receive(payload)
        return await answer if isinstance(answer, asyncio.Future) else answer

    async def _look(self, database: str) -> None:
        """Raises if this node does not see the system's cold storage; `status` says so, too."""
        settings = self.settings
        try:
            await asyncio.to_thread(open_archive, settings.cold, settings.system_id, database)
        except Error as error:
            self._unseen = str(error)
            raise
        self._unseen, self._look_at = "", boottime() + limits.COLD_TRIM_SECONDS

    async def _without_copies(self, database: str, reply: Reply) -> Payload:
        """Its answer once no copy is left on this node."""
        answer = await reply
        if isinstance(answer, m.Dropped):
            await asyncio.to_thread(remove_copies, self.place(os.path.join("databases", database)))
        return answer

    # The journal

    async def _open(self) -> None:
        """Reads the journal, again and again while the disk is full; whatever it recovered is durable.

        In another follower's directory it never opens: it answers nothing, and `status` says why.
        """
        owner = Owner(self.name, self.settings.system_id)
        while self._logs is None:
            try:
                journal = await asyncio.to_thread(Journal.open, self._directory, owner, self._files)
                self._logs = StoredLogs(journal, self.hold, self.around.crash)
            except ForeignDirectory as error:
                self._unopened = error
                self._tried.set()
                return
            except StorageFull as error:
                self._unopened = error
                self._tried.set()
                await asyncio.sleep(limits.FULL_RETRY_SECONDS)
        self._unopened = None
        self._tried.set()
        self.hold(self._miss_primaries(self._logs))
        await self._tick(self._logs)

    async def _tick(self, logs: StoredLogs) -> None:
        while True:
            logs.tick(boottime())
            await asyncio.sleep(TICK_SECONDS)

    def _room_problems(self) -> list[str]:
        full = self._logs.full if self._logs else self._unopened
        if full is not None:
            return [str(full)]
        if self._logs is None or self._logs.has_room:
            return []
        return [
            f"the disk of {self._directory} has no room for the journal's next {limits.SEGMENT_BYTES >> 20} MiB: "
            "writes are refused if it is so with two more followers; free space, it goes on by itself"
        ]

    async def _miss_primaries(self, logs: StoredLogs) -> None:
        """Tells the registry of primaries that were heard since this start and are silent for two leases.

        It may be the registry's own; then whoever cannot reach it replaces it (`Surroundings.report_silent`).
        """
        gone: set[str] = set()
        while True:
            await asyncio.sleep(limits.LEASE_SECONDS / 4)
            missed = logs.missed(boottime(), limits.LEASE_SECONDS)
            reported = [name for name in missed if name not in gone][: limits.REPORTED_DATABASES]
            if reported:
                gone.update(await self.around.report_silent(reported))
                await asyncio.sleep(limits.LEASE_SECONDS)

    async def stop(self) -> None:
        """Ends service, then the journal once all that waits is synced."""
        await super().stop()
        if self._logs is not None:
            await asyncio.to_thread(self._logs.close)

    async def status(self) -> ActorStatus:
        """How this follower is."""
        lost = self._logs.damaged if self._logs else []
        damaged = [f"its log of database {database} was damaged and is given up" for database in lost]
        unseen = [f"nothing is trimmed here: {self._unseen}"] if self._unseen else []
        problems = (*damaged, *unseen, *self._room_problems())
        state = "storing" if self._logs is not None else "opening its journal"
        return ActorStatus(
            self.name,
            "follower",
            self.region,
            os.getpid(),
            state,
            databases=self._logs.held if self._logs else 0,
            problems=problems,
        )
