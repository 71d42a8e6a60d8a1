"""A read replica of one database: applies what the primary sends, answers reads (docs/architecture.md, Replicas)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Sequence
from functools import partial

import msgspec

from raylite.actors.applying import Applier
from raylite.actors.core import messages as m
from raylite.actors.core import replica as core
from raylite.actors.exporting import Exports, Taken
from raylite.actors.links import Link
from raylite.actors.service import Service, Surroundings, boottime, wall_us
from raylite.actors.storage.copy_check import checked
from raylite.actors.storage.engine import Engine, Execution
from raylite.actors.storage.generation import Directory
from raylite.actors.storage.replica_file import ReplicaFile
from raylite.actors.storage.snapshot import Snapshot
from raylite.actors.storage.spool import Spool
from raylite.actors.storage.thread import DatabaseThread
from raylite.actors.stream import Connection, Payload, to_failure
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import Corrupt, Error, StorageFull, Unreachable
from raylite.policies.query import Answer, Query
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
    """One copy in one region.

    Two threads: one alone writes the copy's WAL and WAL-index, another reads through SQLite. `_shown` is the newest
    entry that readers are certain to see.
    """

    def __init__(self, config: ReplicaConfig, settings: Settings, around: Surroundings) -> None:
        self.config = config
        super().__init__(replica_name(config.database, config.region), config.region, settings, around)
        self._writer = DatabaseThread(f"{config.database} apply")
        self._reader = DatabaseThread(f"{config.database} read")
        self._log = core.ReplicaLog(config.database_id, origin(config.database_id))
        self._directory: Directory | None = None
        self._file: ReplicaFile | None = None
        self._applier: Applier | None = None
        self._engine: Engine | None = None
        self._exports: Exports | None = None
        self._shown = self._log.published
        self._lag_ms: float | None = None
        self._progress = asyncio.Condition()
        self._heard_at: float | None = None
        self._primary: Link | None = None
        self._full: StorageFull | None = None
        self._checkpoint_at = 0.0
        self.hold(self._start())

    # Requests

    def handle(
        self, connection: Connection | None, payload: Payload
    ) -> Payload | Awaitable[Payload | None] | None:
        """Queries; the stream arrives over the connection that this replica dialled."""
        if isinstance(payload, Query) and payload.database == self.config.database_id:
            return self._query(payload)
        if isinstance(payload, OpenExport | ReadExport | CloseTransfer) and self._exports is not None:
            return self._exports.answer(payload)
        raise Unreachable(self.name, "it serves another database, or none")

    async def _query(self, query: Query) -> Payload | None:
        deadline = boottime() + min(query.seconds, limits.LONGEST_QUERY_SECONDS)
        if query.primary or not await self._has_reached(query.bookmark):
            return await self._forward(query, deadline)
        assert self._engine is not None, "an entry is shown only once the copy is open"
        assert self._file is not None, "the file is opened before the engine"
        file, run = self._file, partial(self._engine.execute, query, deadline - boottime())
        execution, mark = await self._reader.run(partial(_read, run, file))
        if execution.forward:
            return await self._forward(query, deadline)
        if execution.error is not None:
            return to_failure(execution.error, str(mark))
        return Answer(execution.results, str(mark), self.name, self.region, False, False)

    async def _snapshot(self, request: OpenExport) -> Taken:
        """What this copy shows, on the thread that alone changes that: the bookmark is exactly the snapshot's."""
        file = self._file
        if request.database != self.config.database_id or not await self._has_reached(request.bookmark):
            raise Unreachable(self.name, f"it does not show {request.bookmark or 'a whole copy'} yet")
        assert file is not None, "an entry is shown only once the copy is open"
        return await self._writer.run(lambda: Taken(Snapshot(file.database), file.mark))

    async def _has_reached(self, text: str) -> bool:
        """Whether this copy shows the bookmark, waiting for it a while; raises `BookmarkError` if it never can."""
        if self._engine is None:
            return False
        if not text:
            return self._serves
        bookmark = Bookmark.parse(text)
        self._log.history.check_database(bookmark)
        try:
            async with asyncio.timeout(limits.BOOKMARK_WAIT_SECONDS), self._progress:
                await self._progress.wait_for(lambda: self._shows(bookmark))
        except TimeoutError:
            return False
        self._log.history.check(bookmark)
        return True

    @property
    def _serves(self) -> bool:
        """Whether the copy is whole: after a crash it may hold parts of entries that are still to come."""
        return self._file is not None and self._file.ready

    def _shows(self, bookmark: Bookmark) -> bool:
        reached = (bookmark.epoch, bookmark.sequence) <= (self._shown.epoch, self._shown.sequence)
        return reached and self._serves

    async def _forward(self, query: Query, deadline: float) -> Payload | None:
        """What the primary answers."""
        connection = self._primary.connection if self._primary else None
        if connection is None:
            raise Unreachable(primary_name(self.config.database), f"{self.name} has no connection to it")
        return await connection.ask(query, max(0.0, deadline - boottime()))

    # The stream

    async def _start(self) -> None:
        config = self.config
        directory = self._directory = await asyncio.to_thread(
            Directory.claim_or_fresh, self.place(config.directory), limits.LEASE_SECONDS
        )
        self._exports = Exports(self.name, await asyncio.to_thread(Spool, directory.spool), self._snapshot)
        file = self._file = await self._open(directory)
        self._applier = Applier(file)
        record = file.record
        self._shown = record.certain
        self._log = core.ReplicaLog(config.database_id, record.certain)
        self._engine = await self._reader.run(partial(Engine.reader, str(file.database)))
        self._primary = Link(
            self,
            primary_name(config.database),
            on_up=self._follow,
            on_down=lambda: None,
            handler=self._stream,
        )
        self.hold(self._miss_primary())

    async def _open(self, directory: Directory) -> ReplicaFile:
        """The copy, once the disk has room for what opening it takes."""
        while True:
            try:
                file = await self._writer.run(partial(ReplicaFile.open, directory, self.config.database_id))
            except StorageFull as error:
                self._full = error
                await asyncio.sleep(limits.FULL_RETRY_SECONDS)
            else:
                self._full = None
                return file

    def _follow(self, connection: Connection) -> None:
        """Asks a primary for the stream; one that is not open yet refuses, and is dialled again."""
        log = self._log
        message = m.Follow(self.config.database_id, self.name, self.region, log.published, log.epoch)
        connection.post(message, lambda reply: self._followed(connection, reply))

    def _followed(self, connection: Connection, reply: Payload | Error | None) -> None:
        if isinstance(reply, Error):
            connection.close("it is not the primary, or not yet")

    def _stream(self, connection: Connection, payload: Payload) -> Awaitable[Payload | None]:
        """One message of a leader; carried out in order, answered when it is, or not at all while the disk is full."""
        self._heard_at = boottime()
        if self._full is not None:
            return _nothing()
        match payload:
            case m.Append():
                effects = self._log.receive(payload)
            case m.Diverged():
                effects = self._log.diverged(payload)
            case _:
                raise Unreachable(self.name, f"a leader does not send {type(payload).__name__}")
        return self._carry_out(effects)

    def _carry_out(self, effects: Sequence[core.Effect]) -> Awaitable[Payload | None]:
        """Queues the file's part in order, before anything else can be queued; returns the answer to come."""
        applier = self._applier
        assert applier is not None, "the stream begins once the file is open"
        for effect in effects:
            if isinstance(effect, core.Rebuild):
                self._rebuild(effect.reason)
        changes = [one for one in effects if isinstance(one, core.Write | core.CutTo | core.Publish)]
        answers = [one.message for one in effects if isinstance(one, core.Answer)]
        applied = self._writer.run(partial(applier.apply, changes)) if changes else None
        return self._answer(applied, changes, answers[0] if answers else None)

    async def _answer(
        self, applied: Awaitable[None] | None, changes: Sequence[core.Effect], answer: Payload | None
    ) -> Payload | None:
        if applied is not None:
            try:
                await applied
            except StorageFull as error:
                await self._wait_for_space(error)
                return None
            except Error as error:
                self._lose(error)
                raise
        for change in changes:
            if isinstance(change, core.Publish):
                await self._show(change)
        return answer

    async def _show(self, publish: core.Publish) -> None:
        async with self._progress:
            if publish.place.sequence > self._shown.sequence:
                self._shown = publish.place
            self._progress.notify_all()
        if publish.confirmed_us:
            self._lag_ms = max(0, wall_us() - publish.confirmed_us) / 1000
        file = self._file
        if file is not None and file.wal_bytes >= limits.WAL_CHECKPOINT_BYTES:
            await self._checkpoint(file)

    async def _checkpoint(self, file: ReplicaFile) -> None:
        """Without room for a checkpoint the WAL grows on, and it is tried again in a while."""
        if boottime() < self._checkpoint_at:
            return
        try:
            await self._writer.run(file.checkpoint_if_due)
        except StorageFull:
            self._checkpoint_at = boottime() + limits.FULL_RETRY_SECONDS

    async def _wait_for_space(self, error: StorageFull) -> None:
        """Goes back to what readers see, and takes nothing for a while; the leader then asks where to go on from."""
        applier = self._applier
        if self._full is not None or applier is None:
            return
        self._full = error
        try:
            self._log.step_back(await self._writer.run(applier.take_back))
        except Corrupt as damage:
            self._lose(damage)
            raise
        await asyncio.sleep(limits.FULL_RETRY_SECONDS)
        applier.resume()
        self._full = None

    def _lose(self, error: Error) -> None:
        """The log counts as written what the file does not hold: only a new start is true."""
        self.around.crash(error)

    def _rebuild(self, reason: str) -> None:
        """A copy that cannot go on is forgotten; the next process of this actor begins with an empty one."""
        assert self._file is not None, "only an open copy can diverge"
        self._file.forget()
        self.around.crash(Unreachable(self.name, reason))

    async def _miss_primary(self) -> None:
        """Tells the registry when a primary that was heard before is silent for two leases."""
        while True:
            await asyncio.sleep(limits.LEASE_SECONDS / 4)
            if self._heard_at is not None and boottime() - self._heard_at > 2 * limits.LEASE_SECONDS:
                self._heard_at = boottime()
                await self.around.report_missing(self.config.database)

    async def stop(self) -> None:
        """Ends service, then closes the copy."""
        await super().stop()
        if self._exports is not None:
            await self._exports.stop()
        if self._engine is not None:
            await self._reader.run(self._engine.close)
        if self._file is not None:
            await self._writer.run(self._file.close)
        await self._reader.stop(limits.QUERY_SECONDS)
        await self._writer.stop(limits.QUERY_SECONDS)
        if self._directory is not None:
            self._directory.release()

    async def check(self) -> CopyCheck:
        """This copy, read whole; raises `Unreachable` before it can serve."""
        engine, file = self._engine, self._file
        if engine is None or file is None:
            raise Unreachable(self.name, "its copy is not open yet")
        return await self._reader.run(lambda: checked(engine, self.name, self.region, file.mark))

    async def status(self) -> ActorStatus:
        """How this replica is."""
        connected = self._primary is not None and self._primary.connection is not None
        problems = () if connected else ("no connection to the primary",)
        if self._full is not None:
            problems = (*problems, str(self._full))
        state = "serving" if self._engine is not None and self._serves else "catching up"
        return ActorStatus(
            self.name, "replica", self.region, os.getpid(), state, self._log.epoch, str(self._shown),
            self._lag_ms, self._file.wal_bytes if self._file else 0, problems=problems,
        )  # fmt: skip


def _read(run: partial[Execution], file: ReplicaFile) -> tuple[Execution, Bookmark]:
    """`file.mark` is raised before an entry is shown, so read afterwards it covers the snapshot."""
    execution = run()
    return execution, file.mark


async def _nothing() -> Payload | None:
    return None
