"""A read replica of one database: applies what the primary sends, answers reads (docs/architecture.md, Replicas)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable

import msgspec

from raylite.actors.core import replica as core
from raylite.actors.exporting import Exports, Taken
from raylite.actors.following import Following
from raylite.actors.hibernation import Idleness
from raylite.actors.replica_copy import ReplicaCopy
from raylite.actors.replica_past import ReplicaPast
from raylite.actors.service import Service, Surroundings, boottime
from raylite.actors.shown import Shown
from raylite.actors.storage.engine import Execution
from raylite.actors.storage.spool import Spool
from raylite.actors.stream import Connection, Payload, to_failure
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import Unreachable
from raylite.policies.query import Answer, Failure, Query
from raylite.policies.status import ActorStatus, CopyCheck
from raylite.policies.system import Settings, primary_name, replica_name
from raylite.policies.transfer import CloseTransfer, OpenExport, ReadExport


class ReplicaConfig(msgspec.Struct, frozen=True):
    """Which database, and where. directory: of this replica's files, within its node's."""

    database_id: str
    database: str
    region: str
    directory: str


class Replica(Service):
    """One copy in one region. `_following` is there once the copy is open."""

    def __init__(self, config: ReplicaConfig, settings: Settings, around: Surroundings) -> None:
        self.config = config
        super().__init__(replica_name(config.database, config.region), config.region, settings, around)
        self._copy = ReplicaCopy(config.database_id, config.database, settings)
        self._shown = Shown(origin(config.database_id))
        self._following: Following | None = None
        self._exports: Exports | None = None
        self._past: ReplicaPast | None = None
        self._idleness = Idleness()
        self.hold(self._start())

    async def _start(self) -> None:
        config = self.config
        certain = await self._copy.open(self.place(config.directory))
        self._shown.place = certain
        log = core.ReplicaLog(config.database_id, certain)
        if self.settings.cold:
            self._past = ReplicaPast(self.settings, config.database_id, self._copy.directory)
        self._exports = Exports(self.name, await asyncio.to_thread(Spool, self._copy.spool), self._snapshot)
        self._following = Following(self, config.database, log, self._copy, self._shown)

    # Requests

    def handle(
        self, connection: Connection | None, payload: Payload
    ) -> Payload | Awaitable[Payload | None] | None:
        """Queries; the stream arrives over the connection that this replica dialled."""
        self._idleness.end()
        if isinstance(payload, Query) and payload.database == self.config.database_id:
            return self._query(payload)
        if isinstance(payload, OpenExport | ReadExport | CloseTransfer) and self._exports is not None:
            return self._exports.answer(payload)
        raise Unreachable(self.name, "it serves another database, or none")

    async def _query(self, query: Query) -> Payload | None:
        with self._idleness.ended():
            return await self._answer(query)

    async def _answer(self, query: Query) -> Payload | None:
        deadline = boottime() + min(query.seconds, limits.LONGEST_QUERY_SECONDS)
        if query.at:
            found = None if query.primary or self._past is None else await self._past.read(query, deadline)
            return await self._forward(query, deadline) if found is None else self._told(*found)
        if query.primary or not await self._has_reached(query.bookmark):
            return await self._forward(query, deadline)
        execution, mark = await self._copy.read(query, deadline - boottime())
        if execution.forward:
            return await self._forward(query, deadline)
        return self._told(execution, mark)

    def _told(self, execution: Execution, mark: Bookmark) -> Answer | Failure:
        if execution.error is not None:
            return to_failure(execution.error, str(mark))
        return Answer(execution.results, str(mark), self.name, self.region, False, False)

    async def _snapshot(self, request: OpenExport) -> Taken:
        """What this copy shows; the bookmark is exactly the snapshot's."""
        if request.database != self.config.database_id or not await self._has_reached(request.bookmark):
            raise Unreachable(self.name, f"it does not show {request.bookmark or 'a whole copy'} yet")
        return Taken(*await self._copy.snapshot())

    async def _has_reached(self, text: str) -> bool:
        """Whether this copy shows the bookmark, waiting for it a while; raises `BookmarkError` if it never can."""
        if self._following is None:
            return False
        if not text:
            return self._copy.serves
        bookmark, history = Bookmark.parse(text), self._following.log.history
        history.check_database(bookmark)
        if not await self._shown.reaches(bookmark, lambda: self._copy.serves):
            return False
        history.check(bookmark)
        return True

    async def _forward(self, query: Query, deadline: float) -> Payload | None:
        """What the primary answers."""
        connection = self._following.connection if self._following else None
        if connection is None:
            raise Unreachable(primary_name(self.config.database), f"{self.name} has no connection to it")
        return await connection.ask(query, max(0.0, deadline - boottime()))

    # The actor

    async def stop(self) -> None:
        """Ends service, then closes the copy."""
        await super().stop()
        if self._exports is not None:
            await self._exports.stop()
        await self._copy.close()

    async def check(self) -> CopyCheck:
        """This copy, read whole; raises `Unreachable` before it can serve."""
        return await self._copy.check(self.name, self.region)

    async def status(self) -> ActorStatus:
        """How this replica is."""
        following, copy = self._following, self._copy
        connected = following is not None and following.connection is not None
        problems = () if connected else ("no connection to the primary",)
        if copy.full is not None:
            problems = (*problems, str(copy.full))
        return ActorStatus(
            self.name, "replica", self.region, os.getpid(), "serving" if copy.serves else "catching up",
            following.log.epoch if following else 0, str(self._shown.place), self._shown.lag_ms, copy.wal_bytes,
            problems=problems, idle_seconds=self._idleness.seconds,
        )  # fmt: skip
