"""What exports and imports share: progress, files that appear whole, parts on their way, work on threads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from raylite.actors.storage.spool import translated
from raylite.actors.transfers import Stop
from raylite.policies import limits
from raylite.policies.errors import Error, NoReply, Unreachable
from raylite.policies.transfer import CloseTransfer, TransferReply, TransferRequest
from raylite.router.router import Router

T = TypeVar("T")

_CLOSE_SECONDS: Final = 2.0


class Step(msgspec.Struct, frozen=True):
    """How far an export or import is: what is being done, bytes done, and of how many, 0 if that is not known."""

    name: str
    done: int
    total: int


Watch = Callable[[Step], None]
"""Told of each step now and then, from any thread; it must not block."""


class Exported(msgspec.Struct, frozen=True):
    """A file that was written. size: bytes; bookmark: the entry that it shows exactly; served_by: the copy's actor."""

    path: str
    size: int
    bookmark: str
    served_by: str


class ImportedFile(msgspec.Struct, frozen=True):
    """A file that was applied, whole. size: bytes; bookmark: its entry.

    statements: how many ran; changes, rows_read: rows, `StatementMeta` says how exactly; these are 0 for a SQLite file;
    last_row_id: of the row inserted last; size_after: of the database in bytes; region: of who applied it.
    """

    path: str
    size: int
    statements: int
    bookmark: str
    served_by: str
    changes: int
    rows_read: int
    last_row_id: int
    size_after: int
    region: str


class Way:
    """Requests about one transfer to one actor, until a deadline."""

    def __init__(self, router: Router, actor: str, stop: Stop) -> None:
        self.router, self.actor, self.stop = router, actor, stop

    async def ask(self, request: TransferRequest, kind: type[T]) -> T:
        """The answer, which is of this kind; raises `Unreachable` for none: nothing is applied by what is asked so."""
        try:
            reply = await self.send(request)
        except NoReply as error:
            raise Unreachable(self.actor, error.reason) from error
        if not isinstance(reply, kind):
            raise Unreachable(self.actor, f"it answered {type(reply).__name__} to {type(request).__name__}")
        return reply

    async def send(self, request: TransferRequest, seconds: float | None = None) -> TransferReply | None:
        """The answer, whatever it is, within `seconds` if they are given; raises also `NoReply`."""
        self.stop.check()
        given = min(limits.TRANSFER_CALL_SECONDS, self.stop.left) if seconds is None else seconds
        return await self.router.request(self.actor, request, given)


@contextlib.asynccontextmanager
async def closing(way: Way, transfer: str) -> AsyncGenerator[None]:
    """Tells the actor that the transfer is over, however that came."""
    try:
        yield
    finally:
        request = way.router.request(way.actor, CloseTransfer(transfer), _CLOSE_SECONDS)
        with contextlib.suppress(Error):  # it gives the transfer up by itself
            await asyncio.shield(request)


async def in_parallel(jobs: Iterable[Coroutine[object, object, None]]) -> None:
    """Runs the jobs, a few at a time, begun in order; the first that fails ends all."""
    running: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()
    try:
        for job in jobs:
            running.add(loop.create_task(job))
            if len(running) >= limits.TRANSFER_PARTS:
                running = await _some(running)
        while running:
            running = await _some(running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _some(running: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    done, waiting = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    try:
        for task in done:
            task.result()
    except BaseException:  # a cancellation, too; it goes on
        for task in waiting:
            task.cancel()
        await asyncio.gather(*done, *waiting, return_exceptions=True)
        raise
    return waiting


async def on_thread(work: Callable[[], T], stop: Stop) -> T:
    """The work's result. If the caller is cancelled, the work is stopped and waited for: nothing is left behind."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.ask()
        await asyncio.wait((task,))
        raise


@contextlib.contextmanager
def beside(path: Path) -> Generator[Path]:
    """The name of a file in the same folder, which is removed at the end."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def publish(temporary: Path, path: Path) -> int:
    """Gives the file, which is synced first, its name, in one step; returns its size. Blocks."""
    with translated(path):
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return size
