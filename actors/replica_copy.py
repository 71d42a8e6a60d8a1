"""A replica's copy of its database: its directory, the file that one thread writes, the engine that another reads by.

It is a cache: what it holds certainly is in a record beside it, and the rest comes again from the primary.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from raylite.actors.applying import Applier, Change
from raylite.actors.cold.boot import advance, open_archive
from raylite.actors.service import boottime
from raylite.actors.storage.copy_check import checked
from raylite.actors.storage.directory import Directory
from raylite.actors.storage.engine import Engine, Execution
from raylite.actors.storage.generation import Generation
from raylite.actors.storage.replica_file import ReplicaFile
from raylite.actors.storage.snapshot import Snapshot
from raylite.actors.storage.thread import DatabaseThread
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import (
    BookmarkError,
    Corrupt,
    ForeignDirectory,
    StorageFull,
    Unreachable,
)
from raylite.policies.query import Query
from raylite.policies.status import CopyCheck
from raylite.policies.system import Settings


class ReplicaCopy:
    """Opened once, then written and read at the same time: one thread alone writes the WAL and the WAL-index.

    full: why its disk took no more, None once it does again; closing: nothing that comes now is applied.
    """

    def __init__(self, database_id: str, database: str, settings: Settings) -> None:
        self.full: StorageFull | None = None
        self.closing = False
        self._database_id, self._settings = database_id, settings
        self._writer = DatabaseThread(f"{database} apply")
        self._reader = DatabaseThread(f"{database} read")
        self._directory: Directory | None = None
        self._file: ReplicaFile | None = None
        self._applier: Applier | None = None
        self._engine: Engine | None = None
        self._checkpoint_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it can be read and written."""
        return self._engine is not None

    @property
    def serves(self) -> bool:
        """Whether the copy is whole: after a crash it may hold parts of entries that are still to come."""
        return self._engine is not None and self._file is not None and self._file.ready

    @property
    def wal_bytes(self) -> int:
        """Of its WAL, published or not."""
        return self._file.wal_bytes if self._file else 0

    async def open(self, place: Path) -> Bookmark:
        """Takes the directory and opens the copy in it, once the disk has room; returns what it certainly holds."""
        directory = self._directory = await asyncio.to_thread(
            Directory.claim_or_fresh, place, limits.LEASE_SECONDS
        )
        file = self._file = await self._open(directory)
        self._applier = Applier(file)
        self._engine = await self._reader.run(partial(Engine.reader, str(file.database)))
        return file.record.certain

    async def _open(self, directory: Directory) -> ReplicaFile:
        while True:
            try:
                file = await self._writer.run(partial(self._open_file, directory))
            except StorageFull as error:
                self.full = error
                await asyncio.sleep(limits.FULL_RETRY_SECONDS)
            else:
                self.full = None
                return file

    def _open_file(self, directory: Directory) -> ReplicaFile:
        """The file that is there, with what cold storage holds beyond it; the stream brings the rest.

        Cold storage that is not there is a problem for the stream alone: it says so if followers have less, too.
        """
        generation = Generation.begin(directory, self._database_id)
        settings = self._settings
        if settings.cold:
            try:
                archive = open_archive(settings.cold, settings.system_id, self._database_id)
                generation = advance(archive, generation)
            except (Unreachable, ForeignDirectory, Corrupt, BookmarkError):
                generation = Generation.begin(directory, self._database_id)
        return ReplicaFile(generation)

    @property
    def spool(self) -> Path:
        """Where exports of this copy may be kept."""
        assert self._directory is not None, "it is claimed first"
        return self._directory.spool

    @property
    def directory(self) -> Path:
        """Of this copy."""
        assert self._directory is not None, "it is claimed first"
        return self._directory.path

    async def snapshot(self) -> tuple[Snapshot, Bookmark]:
        """What readers see now, on the thread that alone changes that: the bookmark is exactly the snapshot's."""
        file = self._file
        assert file is not None, "an entry is shown only once the copy is open"
        return await self._writer.run(lambda: (Snapshot(file.database), file.mark))

    async def read(self, query: Query, seconds: float) -> tuple[Execution, Bookmark]:
        """What a query came to, and an entry that covers all that it has seen."""
        assert self._engine is not None, "an entry is shown only once the copy is open"
        assert self._file is not None, "the file is opened before the engine"
        return await self._reader.run(partial(_read, self._engine, self._file, query, seconds))

    def apply(self, changes: Sequence[Change]) -> asyncio.Future[None]:
        """Queues these changes behind all earlier ones; raises what `Applier.apply` does once they are carried out."""
        return self._writer.run(partial(self._applying.apply, changes))

    async def take_back(self) -> Bookmark:
        """Forgets what readers do not see yet; returns what they see. Raises `Corrupt`."""
        return await self._writer.run(self._applying.take_back)

    def resume(self) -> None:
        """There may be room again: what is applied from now on follows what readers see."""
        self._applying.resume()
        self.full = None

    async def checkpoint_if_due(self) -> None:
        """Without room for a checkpoint the WAL grows on, and it is tried again in a while."""
        file = self._file
        if file is None or file.wal_bytes < limits.WAL_CHECKPOINT_BYTES or boottime() < self._checkpoint_at:
            return
        try:
            await self._writer.run(file.checkpoint_if_due)
        except StorageFull:
            self._checkpoint_at = boottime() + limits.FULL_RETRY_SECONDS

    def forget(self) -> None:
        """The next process that opens this directory begins with an empty copy."""
        assert self._file is not None, "only an open copy can diverge"
        self._file.forget()

    async def check(self, actor: str, region: str) -> CopyCheck:
        """This copy, read whole; raises `Unreachable` before it is open."""
        engine, file = self._engine, self._file
        if engine is None or file is None:
            raise Unreachable(actor, "its copy is not open yet")
        return await self._reader.run(lambda: checked(engine, actor, region, file.mark))

    async def close(self) -> None:
        """Closes the copy once the running jobs have ended, then gives the directory up."""
        self.closing = True
        if self._engine is not None:
            await self._reader.run(self._engine.close)
        if self._file is not None:
            await self._writer.run(self._file.close)
        await self._reader.stop(limits.QUERY_SECONDS)
        await self._writer.stop(limits.QUERY_SECONDS)
        if self._directory is not None:
            self._directory.release()

    @property
    def _applying(self) -> Applier:
        assert self._applier is not None, "the stream begins once the file is open"
        return self._applier


def _read(engine: Engine, file: ReplicaFile, query: Query, seconds: float) -> tuple[Execution, Bookmark]:
    """`file.mark` is raised before an entry is shown, so read afterwards it covers the snapshot."""
    execution = engine.execute(query, seconds)
    return execution, file.mark
