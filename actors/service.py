"""What every actor of the system has: a name, a stream server, and the same messages as bytes through Ray's calls."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Protocol

from raylite.actors.registrar import Registrar
from raylite.actors.stream import (
    Connection,
    Distance,
    Endpoint,
    Handler,
    Identity,
    Payload,
    Server,
    connect,
    tls_from_environment,
    to_failure,
)  # fmt: skip
from raylite.actors.stream_codec import decode_payload, encode_payload
from raylite.policies import limits
from raylite.policies.errors import Error, Unreachable
from raylite.policies.system import Settings

Hold = Callable[[Coroutine[object, object, None]], object]
"""Runs a background task that belongs to an actor; if it fails, so does the actor."""


def boottime() -> float:
    """Seconds on the clock that leases count on: it goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wall_us() -> int:
    """Wall clock, microseconds since 1970."""
    return time.time_ns() // 1000


def node_directory(data_dir: str, virtual: Sequence[str] = ()) -> Path:
    """Where this node keeps the files of the system in `data_dir`: there, unless `RAYLITE_DATA` says otherwise.

    A system with virtual regions has one node and one directory, whatever the environment says.
    """
    elsewhere = "" if virtual else os.environ.get("RAYLITE_DATA", "")
    return Path(elsewhere or data_dir).expanduser()


def distance_of(settings: Settings) -> Distance | None:
    """One-way seconds between two regions, if distances are simulated."""
    regions = settings.regions
    return (lambda one, other: (regions.round_trip_ms(one, other) or 0.0) / 2000) if settings.wan else None


def answers_nothing(connection: Connection, payload: Payload) -> None:
    """The handler of whoever only asks."""
    raise Unreachable("whoever dialled", "it answers nothing")


class Surroundings(Protocol):
    """What an actor needs of the cluster that it runs in."""

    async def endpoint(self, actor: str) -> Endpoint:
        """Where the actor of this name listens now; raises `Unreachable`."""
        ...

    def host(self) -> str:
        """The address of this node that other nodes reach."""
        ...

    async def report_missing(self, database: str) -> None:
        """Tell the registry that this database's primary is missed; does not raise."""
        ...

    @property
    def registrar(self) -> Registrar:
        """The registry, for what it knows of followers."""
        ...

    async def report_silent(self, database_ids: Sequence[str]) -> Sequence[str]:
        """Tell the registry that these databases' primaries are missed; returns those that are no databases.

        Does not raise.
        """
        ...

    async def keep_spare(self, mark: Path) -> None:
        """See `spare.keep_spare`."""
        ...

    def gauge(self, name: str, value: float, **tags: str) -> None:
        """What a metric of this name is now; always with the same tags."""
        ...

    def leave(self) -> None:
        """End this actor for good: nobody restarts it."""
        ...

    def exit(self) -> None:
        """What `leave` comes to, inside the actor's own method."""
        ...

    def crash(self, error: BaseException) -> None:
        """End this process at once because of a fault; it is restarted."""
        ...


class Service:
    """Base of the actors. Subclasses implement `handle`, called in order of arrival for each connection."""

    def __init__(self, name: str, region: str, settings: Settings, around: Surroundings) -> None:
        self.name, self.region, self.settings, self.around = name, region, settings, around
        self.identity = Identity(name, region, settings.key)
        self.distance = distance_of(settings)
        self.tls = tls_from_environment(os.environ)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = asyncio.get_running_loop().create_task(self._listen())

    def __repr__(self) -> str:
        return f"{self.name} ({self.region})"

    async def up(self) -> None:
        """Returns once this actor can be asked."""

    async def endpoint(self) -> Endpoint:
        """Where this actor listens."""
        return (await self._server).endpoint

    def place(self, directory: str) -> Path:
        """Where this actor's directory is on this node."""
        return node_directory(self.settings.data_dir, self.settings.virtual) / directory

    async def leave(self) -> None:
        """Ends this actor for good. To be called as an actor's method: `Surroundings.leave` does."""
        self.around.exit()

    async def ask(self, encoded: bytes) -> bytes:
        """The answer to one encoded payload: the same as over the stream, for callers without a connection."""
        try:
            answer = self.handle(None, decode_payload(encoded))
            if isinstance(answer, Awaitable):
                answer = await answer
        except Error as error:
            answer = to_failure(error)
        return b"" if answer is None else encode_payload(answer)

    def handle(
        self, connection: Connection | None, payload: Payload
    ) -> Payload | Awaitable[Payload | None] | None:
        """The answer to a request, now or later; raises an `Error` to refuse it."""
        raise TypeError(f"{type(self).__name__} answers nothing")

    async def dial(self, actor: str, handler: Handler = answers_nothing) -> Connection:
        """A connection to the actor of this name, resolved anew; raises `Unreachable` or `Unauthorized`."""
        endpoint = await self.around.endpoint(actor)
        return await connect(
            self.identity, endpoint, handler, on_crash=self.around.crash, tls=self.tls, distance=self.distance
        )

    async def ask_once(self, actor: str, payload: Payload) -> Payload | None:
        """The answer to one request over a connection of its own; raises an `Error`."""
        connection = await self.dial(actor)
        try:
            return await connection.call(payload, limits.CALL_SECONDS)
        finally:
            connection.close()

    def hold(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Runs a background task that belongs to this actor; if it fails, so does the actor."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def stop(self) -> None:
        """Ends what runs in the background, then the server. Subclasses close their files after that."""
        for task in (*self._tasks,):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await (await self._server).stop()

    async def _listen(self) -> Server:
        return await Server.start(
            self.identity,
            self.handle,
            self.around.host(),
            on_crash=self.around.crash,
            tls=self.tls,
            distance=self.distance,
        )

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.around.crash(error)
