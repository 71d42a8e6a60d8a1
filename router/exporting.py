"""Writes a database into a file, as SQL or as a SQLite database: one state of it, whole or not at all.

A copy's actor copies a snapshot on its own disk, and this side reads that copy in parts into a file beside the one
that is asked for. SQL is made from it here. So nobody's snapshot waits for a slow reader, and memory is bounded.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from raylite.actors.storage.spool import digest_of, translated
from raylite.actors.storage.wal_medium import write_all
from raylite.actors.transfers import Stop
from raylite.policies import limits
from raylite.policies.backoff import Backoff
from raylite.policies.errors import Error, NotPrimary, Unavailable, Unreachable
from raylite.policies.transfer import Kind, Opened, OpenExport, Part, ReadExport
from raylite.router.dump import Selection, dump
from raylite.router.moving import Exported, Step, Watch, Way, beside, closing, in_parallel, on_thread, publish
from raylite.router.router import Router

RETRY: Final = Backoff(0.1, 1.0)
_TELL_BYTES: Final = 1 << 20
_BUFFER_BYTES: Final = 1 << 20


class Exporter:
    """One export. bookmark: what it must show at least; stop: its deadline, and its end before."""

    def __init__(self, router: Router, database_id: str, bookmark: str, stop: Stop, watch: Watch) -> None:
        self._router, self._database_id, self._bookmark = router, database_id, bookmark
        self._stop, self._watch = stop, watch

    async def run(self, path: Path, kind: Kind, selection: Selection) -> Exported:
        """The file at `path`, which replaces what was there; after an error that stands as it was."""
        with beside(path) as image, beside(path) as text:
            actor, bookmark = await self._fetch(image)
            if kind is Kind.SQL:
                await on_thread(partial(self._write, image, text, selection), self._stop)
            ready = text if kind is Kind.SQL else image
            size = await on_thread(partial(publish, ready, path), self._stop)
            return Exported(str(path), size, bookmark, actor)

    async def _fetch(self, image: Path) -> tuple[str, str]:
        """Copies the database here, from the nearest copy that can; its actor and the bookmark."""
        last: Error = Unreachable(self._router.name, "nobody serves it")
        began = asyncio.get_running_loop().time()
        for failures in count():
            for actor in await self._router.copies():
                try:
                    return actor, await self._fetch_from(Way(self._router, actor, self._stop), image)
                except Unavailable as error:
                    last = error
            waited = asyncio.get_running_loop().time() - began
            if not isinstance(last, Unreachable | NotPrimary) or waited > limits.QUERY_SECONDS:
                raise last
            await asyncio.sleep(RETRY.delay(failures, random.random()))
        raise AssertionError("unreachable: the time ends the loop")

    async def _fetch_from(self, way: Way, image: Path) -> str:
        request = OpenExport(self._database_id, self._bookmark, self._stop.left)
        opened = await way.ask(request, Opened)
        async with closing(way, opened.transfer):
            digest = await self._wait(way, opened)
            await self._read_all(way, opened, image)
        await on_thread(partial(self._compare, way.actor, image, digest), self._stop)
        return opened.bookmark

    async def _wait(self, way: Way, opened: Opened) -> str:
        """Waits until the copy is made there; its digest."""
        while True:
            part = await way.ask(ReadExport(opened.transfer, opened.size), Part)
            self._watch(Step("copying there", part.copied, opened.size))
            if part.digest:
                return part.digest

    async def _read_all(self, way: Way, opened: Opened, image: Path) -> None:
        done = 0

        async def read(offset: int) -> None:
            nonlocal done
            part = await way.ask(ReadExport(opened.transfer, offset), Part)
            if len(part.data) != min(limits.TRANSFER_PART_BYTES, opened.size - offset):
                raise Unreachable(way.actor, f"it sent {len(part.data)} bytes from {offset} on")
            await on_thread(partial(_put, image, part.data, offset), self._stop)
            done += len(part.data)
            self._watch(Step("fetching", done, opened.size))

        await asyncio.to_thread(_make, image)
        await in_parallel(read(offset) for offset in range(0, opened.size, limits.TRANSFER_PART_BYTES))

    def _compare(self, actor: str, image: Path, digest: str) -> None:
        with translated(image):
            found = digest_of(image, self._stop.check)
        if found != digest:
            raise Unreachable(actor, "what it sent is not what it has")

    def _write(self, image: Path, text: Path, selection: Selection) -> None:
        done = told = 0
        with translated(text), text.open("xb", buffering=_BUFFER_BYTES) as file:
            for statement in dump(image, selection):
                done += file.write(statement.encode() + b"\n")
                if done - told >= _TELL_BYTES:
                    told = done
                    self._stop.check()
                    self._watch(Step("writing SQL", done, 0))


def kind_of(path: Path) -> Kind:
    """What a file of this name is to hold: a SQLite database if it ends in .db, .sqlite or .sqlite3, else SQL."""
    return Kind.SQLITE if path.suffix.lower() in {".db", ".sqlite", ".sqlite3"} else Kind.SQL


def _make(path: Path) -> None:
    with translated(path):
        path.write_bytes(b"")


def _put(path: Path, data: bytes, offset: int) -> None:
    with translated(path), path.open("r+b", buffering=0) as file:
        write_all(file.fileno(), data, offset, str(path))
