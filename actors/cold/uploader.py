"""Carries out a database's uploads: reads confirmed pieces, writes segments, and says what is held."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from raylite.actors.cold.archive import Archive
from raylite.actors.cold.segment import Contents
from raylite.actors.cold.snapshot import Run
from raylite.actors.cold.uploading import Cut, Look, Uploading, UploadState
from raylite.actors.core.piece import describe_all
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Error, Unreachable

T = TypeVar("T")


class Source(Protocol):
    """The confirmed log of a database, where it is kept until it is uploaded."""

    async def read(self, after: Bookmark, limit: int) -> list[bytes]:
        """Confirmed pieces behind the place `after`, about `limit` bytes at most; none: there are no more.

        Never a piece that is not confirmed. Raises `Corrupt` if `after` is not in this log.
        """
        ...

    def waiting_bytes(self, after: Bookmark) -> int:
        """About how much is confirmed behind `after`; 0 if that is not known."""
        ...


class Ground(Protocol):
    """What an uploader stands on: the clock, chance, and where blocking work is done."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def jitter(self) -> float:
        """A random number from 0 to 1."""
        ...

    def nonce(self) -> str:
        """16 random hexadecimal digits."""
        ...

    async def work(self, job: Callable[[], T]) -> T:
        """What `job` returns or raises, which is run where it holds up nobody."""
        ...


class Uploader:
    """One database's uploads, on one event loop. on_held is told every newer entry that is held, in order."""

    def __init__(
        self, archive: Archive, source: Source, ground: Ground, on_held: Callable[[Bookmark], None]
    ) -> None:
        self.core = Uploading()
        self._archive, self._source, self._ground, self._on_held = archive, source, ground, on_held
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()

    def confirmed(self, size: int) -> None:
        """More is confirmed, `size` bytes of pieces. Costs next to nothing."""
        before = self.core.next_at()
        self.core.confirmed(size, self._ground.now())
        if self.core.next_at() != before:
            self._wake.set()

    def state(self) -> UploadState:
        """How uploads stand."""
        return self.core.state(self._ground.now())

    async def run(self) -> None:
        """Uploads what is due, for ever. Whatever the store raises becomes the state's problem; ends by being
        cancelled."""
        while True:
            self._wake.clear()
            await self.step()
            at = self.core.next_at()
            seconds = None if at is None else max(0.0, at - self._ground.now())
            await _set_within(self._wake, seconds)

    async def flush(self, place: Bookmark, seconds: float) -> None:
        """Returns once everything up to the confirmed entry `place` is held; `run` does the work.

        Raises `Unreachable` with the state's problem after `seconds`.
        """
        end = self._ground.now() + seconds
        while not _covers(self.core.held, place):
            left = end - self._ground.now()
            if left <= 0:
                problem = self.core.state(end).problem or "uploads are not done yet"
                raise Unreachable(f"cold storage {self._archive.store.address}", problem)
            self.core.hurry(place)
            self._wake.set()
            self._moved.clear()
            await _set_within(self._moved, left)

    async def step(self) -> None:
        """Does what is due now, one attempt at most."""
        todo = self.core.begin(self._ground.now())
        if todo is None:
            return
        problem = "an attempt was cut short"
        try:
            problem = await self._attempt(todo)
        finally:
            if problem:
                self.core.failed(problem, self._ground.now(), self._ground.jitter())
            self._moved.set()

    async def _attempt(self, todo: Look | Cut) -> str:
        """What went wrong, "" if nothing did."""
        try:
            await (self._look() if isinstance(todo, Look) else self._cut(todo))
        except Error as error:
            return str(error)
        return ""

    async def _look(self) -> None:
        held = await self._ground.work(self._find)
        self.core.found(held, self._source.waiting_bytes(held), self._ground.now())
        self._on_held(held)

    def _find(self) -> Bookmark:
        held = self._archive.held()
        if held is not None:
            return held.newest.bookmark
        # A fork's archive begins before its log does, so what has none is no fork.
        run = Run(self._ground.nonce(), self._ground.now)
        return self._archive.found(run).state.bookmark

    async def _cut(self, todo: Cut) -> None:
        pieces, drained = await self._pieces(todo)
        if not pieces:
            self.core.uploaded(todo.after, None, 0, drained=drained)
            return
        contents = await self._ground.work(lambda: self._upload(todo.after, pieces))
        whole = next((one.place for one in reversed(contents.entries) if one.last), None)
        size = sum(map(len, pieces))
        self.core.uploaded(contents.entries[-1].place, whole, size, drained=drained)
        if whole is not None:
            self._on_held(whole)

    def _upload(self, after: Bookmark, pieces: list[bytes]) -> Contents:
        name = self._archive.upload(after, pieces)
        return self._archive.reader.contents(name)

    async def _pieces(self, todo: Cut) -> tuple[list[bytes], bool]:
        """Pieces for one segment, and whether these are all that is confirmed."""
        pieces: list[bytes] = []
        place, size = todo.after, 0
        while size < todo.limit:
            more = await self._source.read(place, todo.limit - size)
            if not more:
                return pieces, True
            pieces += more
            size += sum(map(len, more))
            place = await self._ground.work(partial(_end, place, more))
        return pieces, False


def _end(after: Bookmark, pieces: list[bytes]) -> Bookmark:
    return describe_all(after, pieces)[-1].place


def _covers(held: Bookmark | None, place: Bookmark) -> bool:
    return held is not None and (held.epoch, held.sequence) >= (place.epoch, place.sequence)


async def _set_within(event: asyncio.Event, seconds: float | None) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
