"""The folder for files on their way in or out by HTTP, and the work on them; bounded, and empty in the end."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TypeVar

from raylite.actors.storage.spool import translated
from raylite.policies import limits
from raylite.policies.errors import Overloaded
from raylite.router.http.job import Job
from raylite.router.moving import Watch

T = TypeVar("T")


class Spool:
    """The folder, made and emptied when it is first needed: no other process uses it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ready = False
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[object]] = set()
        self._removing: set[asyncio.Task[None]] = set()

    async def place(self) -> Path:
        """A name for one more file; raises `Overloaded` while there is too much, `StorageFull`."""
        async with self._turn:
            return await asyncio.to_thread(self._place)

    def begin(self, work: Callable[[Watch], Coroutine[object, object, T]]) -> Job[T]:
        """Work on files, which `close` ends."""
        job = Job(work)
        self._tasks.add(job.task)
        job.task.add_done_callback(self._tasks.discard)
        return job

    def remove(self, path: Path) -> None:
        """Removes a file, soon."""
        removing = asyncio.get_running_loop().create_task(asyncio.to_thread(_unlink, path))
        self._removing.add(removing)
        removing.add_done_callback(self._removing.discard)

    async def removed(self) -> None:
        """Returns when all files are gone that were to be removed."""
        await asyncio.gather(*self._removing, return_exceptions=True)

    async def close(self) -> None:
        """Ends all work, and removes all files."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.removed()
        if self._ready:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
            self._ready = False

    def _place(self) -> Path:
        with translated(self._folder):
            if not self._ready:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder.mkdir(parents=True)
                self._ready = True
            held = sum(map(_size, self._folder.iterdir()))
        if held > limits.HTTP_SPOOL_BYTES:
            raise Overloaded(f"bytes of files in {self._folder}", limits.HTTP_SPOOL_BYTES)
        return self._folder / secrets.token_hex(8)


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):  # what stays is gone with the folder
        path.unlink()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # it was removed meanwhile
        return 0
