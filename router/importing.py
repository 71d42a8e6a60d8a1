"""Applies a file to a database in one transaction: all of it or nothing.

The file goes to the primary in parts, which spools it and then applies it: nothing is applied before it has all of
it, and nothing waits for the network while it does. Memory is bounded on both sides.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

import apsw

from raylite.actors.storage.engine_apsw import viewed
from raylite.actors.storage.engine_errors import translate
from raylite.actors.storage.image import PAGE_SIZE
from raylite.actors.storage.snapshot import Snapshot
from raylite.actors.storage.spool import digest_of, translated
from raylite.actors.transfers import Stop
from raylite.policies import limits
from raylite.policies.errors import (
    Corrupt,
    Interrupted,
    LimitExceeded,
    NoReply,
    NotPrimary,
    OutcomeUnknown,
    ParameterError,
    Unreachable,
)
from raylite.policies.transfer import (
    Imported,
    Kind,
    Opened,
    OpenImport,
    RunImport,
    TransferReply,
    Watched,
    WatchImport,
    WriteImport,
)
from raylite.router.exporting import RETRY
from raylite.router.moving import ImportedFile, Step, Watch, Way, closing, in_parallel, on_thread
from raylite.router.router import Router

_PROGRESS_STEPS: Final = 100_000
_PAGE_SIZE_AT: Final = 16
_SQLITE: Final = b"SQLite format 3\0"
_AGAIN: Final = (Unreachable, NotPrimary)


class Importer:
    """One import. stop: its deadline, and its end before."""

    def __init__(self, router: Router, database_id: str, stop: Stop, watch: Watch) -> None:
        self._router, self._database_id, self._stop, self._watch = router, database_id, stop, watch

    async def run(self, path: Path) -> ImportedFile:
        """What was applied; raises the error of the first statement that fails, `OutcomeUnknown` if nobody can say."""
        kind, size = await on_thread(partial(_examine, path), self._stop)
        if kind is Kind.SQL:
            found = await self._move(path, kind, size)
        else:
            found = await self._move_database(path)
        return ImportedFile(
            str(path), size, found.statements, found.bookmark, found.served_by,
            found.changes, found.rows_read, found.last_row_id, found.size_after, found.region,
        )  # fmt: skip

    async def _move_database(self, path: Path) -> Imported:
        """Moves what is in a SQLite file, its WAL included, as a file of the pages that the primary takes."""
        with tempfile.TemporaryDirectory(prefix="raylite-") as folder:
            ready = Path(folder) / "database"
            try:
                await on_thread(partial(_take, path, ready, self._stop), self._stop)
            except Corrupt as error:
                raise ParameterError(f"{path} is damaged: {error.reason}") from error
            kind, size = await on_thread(partial(_examine, ready), self._stop)
            return await self._move(ready, kind, size)

    async def _move(self, path: Path, kind: Kind, size: int) -> Imported:
        digest = await on_thread(partial(self._digest, path), self._stop)
        way, opened = await self._open(kind, size)
        async with closing(way, opened.transfer):
            await self._send(way, opened, path)
            return await self._apply(way, RunImport(opened.transfer, digest, self._stop.left), size)

    async def _open(self, kind: Kind, size: int) -> tuple[Way, Opened]:
        """Finds the primary; one that is being replaced is waited for."""
        began = asyncio.get_running_loop().time()
        for failures in count():
            try:
                way = Way(self._router, await self._router.primary(), self._stop)
                return way, await way.ask(OpenImport(self._database_id, kind, size), Opened)
            except _AGAIN:
                if asyncio.get_running_loop().time() - began > limits.QUERY_SECONDS:
                    raise
                await asyncio.sleep(RETRY.delay(failures, random.random()))
        raise AssertionError("unreachable: the time ends the loop")

    async def _send(self, way: Way, opened: Opened, path: Path) -> None:
        done = 0

        async def write(offset: int) -> None:
            nonlocal done
            data = await on_thread(partial(_read, path, offset), self._stop)
            try:
                await way.send(WriteImport(opened.transfer, offset, data))
            except NoReply as error:
                raise Unreachable(way.actor, error.reason) from error
            done += len(data)
            self._watch(Step("sending", done, opened.size))

        await in_parallel(write(offset) for offset in range(0, opened.size, limits.TRANSFER_PART_BYTES))

    async def _apply(self, way: Way, request: RunImport, size: int) -> Imported:
        """Has it applied. From here on an answer that does not come says nothing about what was done."""
        running = asyncio.ensure_future(way.send(request, request.seconds + limits.ANSWER_GRACE_SECONDS))
        try:
            while not running.done():
                await self._look(way, request, size, running)
            reply = running.result()
        except NoReply as error:
            raise OutcomeUnknown(self._router.name, f"{error.database}: {error.reason}") from error
        finally:
            running.cancel()
        if not isinstance(reply, Imported):
            raise OutcomeUnknown(self._router.name, f"{way.actor} answered {type(reply).__name__}")
        return reply

    async def _look(
        self, way: Way, request: RunImport, size: int, running: asyncio.Future[TransferReply | None]
    ) -> None:
        """Tells how far it is once, if the actor says so; ends early when the import does."""
        asked = asyncio.ensure_future(way.ask(WatchImport(request.transfer), Watched))
        try:
            await asyncio.wait((asked, running), return_when=asyncio.FIRST_COMPLETED)
            if asked.done() and asked.exception() is None:
                self._watch(Step("applying", asked.result().done, size))
            elif asked.done():
                await asyncio.wait((running,), timeout=limits.TRANSFER_HOLD_SECONDS)
        finally:
            asked.cancel()

    def _digest(self, path: Path) -> str:
        with translated(path):
            return digest_of(path, self._stop.check)


def _examine(path: Path) -> tuple[Kind, int]:
    """What the file is, by its first bytes, and its size; raises `LimitExceeded` for one that is too large."""
    try:
        with path.open("rb") as file:
            kind = Kind.SQLITE if file.read(len(_SQLITE)) == _SQLITE else Kind.SQL
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise ParameterError(f"{path} cannot be read: {error.strerror}") from error
    if size > limits.TRANSFER_BYTES:
        raise LimitExceeded(str(path), size, limits.TRANSFER_BYTES, "bytes")
    return kind, size


def _take(path: Path, target: Path, stop: Stop) -> None:
    """Writes one state of a SQLite database, that others may use meanwhile, into a file that the primary takes."""
    with translated(path), path.open("rb") as file:
        page_size = int.from_bytes(file.read(_PAGE_SIZE_AT + 2)[_PAGE_SIZE_AT:])
    if page_size == PAGE_SIZE:
        Snapshot(path).copy(target, lambda _: stop.check())
    else:
        _change_pages(path, target, stop)


def _change_pages(path: Path, target: Path, stop: Stop) -> None:
    source = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        source.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        source.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        source.set_progress_handler(lambda: stop.due, _PROGRESS_STEPS)
        view = viewed(source)
        view.execute(f"PRAGMA page_size={PAGE_SIZE}")
        view.execute("VACUUM INTO ?", (str(target),))
    except apsw.InterruptError as error:
        raise Interrupted("the import") from error
    except apsw.Error as error:
        raise translate(error, str(path)) from error
    finally:
        source.close(True)


def _read(path: Path, offset: int) -> bytes:
    with translated(path), path.open("rb", buffering=0) as file:
        return os.pread(file.fileno(), limits.TRANSFER_PART_BYTES, offset)
