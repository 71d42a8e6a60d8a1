"""What a primary keeps in cold storage: confirmed entries in segments, snapshots when due, and nothing too old.

All of it happens beside the writer: bytes come from followers, snapshots are made from cold storage itself, and
whatever blocks runs in threads of its own.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import Protocol, TypeVar

from raylite.actors.cold import timeline
from raylite.actors.cold.archive import Archive
from raylite.actors.cold.boot import open_archive
from raylite.actors.cold.file_pages import FilePages
from raylite.actors.cold.fork import fork
from raylite.actors.cold.past import Past, execute
from raylite.actors.cold.restore import restore
from raylite.actors.cold.retention import Retention
from raylite.actors.cold.snapshot import Run
from raylite.actors.cold.uploader import Source, Uploader
from raylite.actors.cold.uploading import UploadState
from raylite.actors.cold.verify import verify
from raylite.actors.service import boottime
from raylite.actors.storage.engine import Execution
from raylite.actors.storage.files import RealFiles
from raylite.actors.storage.snapshot import Snapshot
from raylite.policies import limits
from raylite.policies.backoff import Backoff
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Error, NotAllowed, Overloaded, Unreachable
from raylite.policies.query import Query
from raylite.policies.status import TimeSpan, Verified
from raylite.policies.system import Settings

T = TypeVar("T")
_THREADS = 3
"""One uploads, one makes snapshots and sweeps, one looks up and reads what was."""


class _Ground:
    """What uploads stand on in an actor."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "cold-storage")

    def now(self) -> float:
        """Seconds, also of a suspended machine."""
        return boottime()

    def jitter(self) -> float:
        """From 0 to 1."""
        return random.random()

    def nonce(self) -> str:
        """16 random hexadecimal digits."""
        return secrets.token_hex(8)

    async def work(self, job: Callable[[], T]) -> T:
        """Runs `job` in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, job)

    def close(self) -> None:
        """What has not begun does not begin; whoever runs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class ConfirmedSource(Source, Protocol):
    """A source that knows where it ends."""

    def newest(self) -> Bookmark:
        """The newest confirmed entry."""
        ...

    def trim(self, held: Bookmark) -> None:
        """Cold storage holds everything up to this entry, so the source need not."""
        ...


class Archiving:
    """One database's archive, as its primary keeps it. directory: its primary's."""

    def __init__(
        self, settings: Settings, database_id: str, source: ConfirmedSource, directory: Path
    ) -> None:
        self._past = Past(directory / "past", RealFiles(), time.time)
        self._address, self._system_id, self._database_id = settings.cold, settings.system_id, database_id
        self._source, self._scratch = source, directory / "snapshot"
        self._ground = _Ground()
        self._uploader: Uploader | None = None
        self._unconfirmed = 0
        self._problem = "it was not reached yet"
        self._advanced = asyncio.Event()
        self._ready = asyncio.Event()
        self._damaged: tuple[str, ...] = ()
        self._swept_at = -limits.COLD_SWEEP_SECONDS

    # What the primary tells

    def made(self, size: int) -> None:
        """Entries were made, `size` bytes of pieces; `confirmed` says when they are safe."""
        self._unconfirmed += size

    def confirmed(self) -> None:
        """More is confirmed. What was made and is not yet counts already: the next call comes with it."""
        if self._uploader is not None:
            self._uploader.confirmed(self._unconfirmed)
            self._unconfirmed = 0

    def refusal(self) -> Overloaded | None:
        """Why nothing may be written now: too much waits to be uploaded."""
        if self._uploader is not None:
            try:
                self._uploader.core.admit()
            except Overloaded as error:
                return error
        return None

    def state(self) -> UploadState:
        """How uploads stand; a problem with snapshots or retention is one of these, too."""
        if self._uploader is None:
            return UploadState("", 0, 0.0, self._problem)
        state = self._uploader.state()
        return state if state.problem else UploadState(
            state.held, state.waiting_bytes, state.waiting_seconds, self._problem
        )  # fmt: skip

    # What is asked of it

    async def flush(self, place: Bookmark) -> None:
        """Returns once everything up to the confirmed entry `place` is held; raises `Unreachable`."""
        uploader = await self._opened()
        await uploader.flush(place, limits.COLD_FLUSH_SECONDS)

    async def moment(self, time_us: int) -> str:
        """The bookmark of the newest confirmed entry that is not later than this, microseconds since 1970.

        Raises `ParameterError` if all that is kept is later, `Unreachable` if the store is not there.
        """
        await self.flush(self._source.newest())
        found = await self._ground.work(partial(timeline.find, await self._archive(), time_us))
        return str(found.bookmark)

    async def span(self) -> TimeSpan:
        """How far back the database can be read."""
        await self.flush(self._source.newest())
        found = await self._ground.work(partial(timeline.span, await self._archive()))
        oldest, newest = found.oldest, found.newest
        return TimeSpan(str(oldest.bookmark), oldest.time_us, str(newest.bookmark), newest.time_us)

    async def read(self, query: Query, goal: Bookmark) -> Execution:
        """What the query finds in the database as it was at `goal`, which is confirmed.

        Raises `BookmarkError` if that is not kept any more, and `NotAllowed` for what would write.
        """
        deadline = boottime() + query.seconds
        path = await self.file(goal)
        ran = await self._ground.work(lambda: execute(path, query, deadline - boottime()))
        if ran.forward:
            raise NotAllowed(
                "Writing to the past", "Write without `at`, or fork the database at that bookmark."
            )
        return ran

    async def file(self, goal: Bookmark) -> Path:
        """A file that holds the database as it was at `goal`, which is confirmed; it may go when others are asked for.

        Raises `BookmarkError` if that is not kept any more, `StorageFull`, and what the store raises.
        """
        await self.flush(goal)
        return await self._ground.work(partial(self._past.file, await self._archive(), goal))

    async def fork(self, fork_id: str, goal: Bookmark) -> int:
        """See `PrimaryPast.fork`; the time in the entry `goal`, which is confirmed, microseconds.

        The same call again is answered the same.
        """
        await self.flush(goal)
        archive = await self._archive()
        manifest = await self._ground.work(partial(fork, archive, fork_id, goal, boottime))
        return manifest.state.time_us

    async def verify(self, snapshot: Snapshot, goal: Bookmark) -> Verified:
        """Compares the live database at `goal`, which is confirmed, with what cold storage alone gives."""
        await self.flush(goal)
        folder = self._scratch.with_name(f"verify-{self._ground.nonce()}")
        return await self._ground.work(partial(verify, await self._archive(), goal, snapshot, folder))

    async def _archive(self) -> Archive:
        """One of its own: an archive is for one thread at a time."""
        await self._opened()
        return await self._ground.work(self._open)

    async def _opened(self) -> Uploader:
        try:
            async with asyncio.timeout(limits.COLD_FLUSH_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            raise Unreachable(f"cold storage {self._address}", self._problem) from None
        assert self._uploader is not None, "it is ready"
        return self._uploader

    # The work

    async def run(self) -> None:
        """Uploads, takes snapshots and sweeps, for ever; ends by being cancelled."""
        try:
            archive = await self._persist(self._open)
            self._uploader = Uploader(archive, self._source, self._ground, lambda held: self._advanced.set())
            self._problem = ""
            self._ready.set()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._uploader.run())
                group.create_task(self._keep())
                group.create_task(self._trim(self._uploader))
        finally:
            self._ground.close()

    async def _persist(self, job: Callable[[], T]) -> T:
        """What `job` returns, however often that has to be tried."""
        backoff = Backoff(limits.COLD_RETRY_SECONDS, limits.COLD_LONGEST_RETRY_SECONDS)
        for tries in count():
            try:
                return await self._ground.work(job)
            except Error as error:
                self._problem = str(error)
            await asyncio.sleep(backoff.delay(tries, self._ground.jitter()))
        raise AssertionError("it counts for ever")

    def _open(self) -> Archive:
        return open_archive(self._address, self._system_id, self._database_id)

    async def _trim(self, uploader: Uploader) -> None:
        """Copies that start now have a while to read what is held now before they need what follows."""
        while True:
            held = uploader.core.held
            await asyncio.sleep(limits.COLD_TRIM_SECONDS)
            if held is not None:
                self._source.trim(held)

    async def _keep(self) -> None:
        while True:
            await self._advanced.wait()
            self._advanced.clear()
            self._problem = await self._persist(self._look_after)
            await asyncio.sleep(limits.COLD_KEEP_SECONDS)

    def _look_after(self) -> str:
        """Snapshot and sweep, if they are due; what is wrong with the archive, in words."""
        archive = self._open()
        problems = self._snapshot_if_due(archive)
        if boottime() - self._swept_at < limits.COLD_SWEEP_SECONDS:
            return problems
        swept = Retention(archive, time.time).sweep()
        self._swept_at = boottime()
        self._damaged = swept.damaged
        return problems or swept.problem

    def _snapshot_if_due(self, archive: Archive) -> str:
        """A snapshot is made of what is held already, so the writer has no part in it."""
        held = archive.held()
        if held is None:
            return ""
        if self._damaged or held.wants_snapshot():
            try:
                state = restore(archive, held.newest.bookmark, RealFiles(), self._scratch)
                with FilePages(self._scratch, state) as pages:
                    archive.snapshot(pages, Run(self._ground.nonce(), self._ground.now), self._damaged)
                self._damaged = ()
            finally:
                self._scratch.unlink(missing_ok=True)
        return "; ".join(held.problems)
