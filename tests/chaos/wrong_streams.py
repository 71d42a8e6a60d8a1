"""Streams that are cut, at the side where bytes arrive: held until the cut is over, or the connection ends."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from tests.chaos.rules import Cut, World

from raylite.actors.stream import Connection, Distance, Endpoint, Handler, Identity, OnCrash, Tls, connect
from raylite.actors.stream import report_crash as report
from raylite.policies import limits
from raylite.policies.errors import Unreachable

Dial = Callable[..., Awaitable[Connection]]


def wrong_connection(world: World) -> type[Connection]:
    """The class to have in the place of `Connection`."""

    class Here(Connection):
        """What arrives while a cut lasts is taken after it, in order, as TCP would have it; so is the end."""

        _held: deque[bytes]
        _ended: Exception | None
        _has_ended: bool

        def data_received(self, data: bytes) -> None:
            held = self._queue()
            held.append(data)
            if len(held) == 1:
                self._take_held()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._queue() and self.is_open:
                self._has_ended, self._ended = True, exc
            else:
                super().connection_lost(exc)

        def _queue(self) -> deque[bytes]:
            if not hasattr(self, "_held"):
                self._held, self._ended, self._has_ended = deque(), None, False
            return self._held

        def _take_held(self) -> None:
            """Hands on what is held, unless a cut lasts; looks again when that is over."""
            while self._held and self.is_open:
                cut = world.cut(self.peer.actor, world.me)
                if cut is not None and not cut.breaks:
                    asyncio.get_running_loop().call_later(cut.until - time.monotonic(), self._take_held)
                    return
                if cut is not None:
                    self.abort("a campaign cut it")
                    break
                super().data_received(self._held[0])
                self._held.popleft()
            self._held.clear()
            if self._has_ended:
                self._has_ended = False
                super().connection_lost(self._ended)

    return Here


def dialling(world: World) -> Dial:
    """The function to have in the place of `connect`: through a cut nobody gets a hello."""

    async def dial(
        identity: Identity, endpoint: Endpoint, handler: Handler, *, on_crash: OnCrash = report,
        tls: Tls | None = None, distance: Distance | None = None, seconds: float = limits.CONNECT_SECONDS,
    ) -> Connection:  # fmt: skip
        until = time.monotonic() + seconds
        while (cut := _between(world, endpoint.actor)) is not None:
            if cut.breaks or cut.until > until:
                await asyncio.sleep(0 if cut.breaks else until - time.monotonic())
                raise Unreachable(str(endpoint), "a campaign cut it")
            await asyncio.sleep(cut.until - time.monotonic())
        return await connect(
            identity, endpoint, handler, on_crash=on_crash, tls=tls, distance=distance, seconds=seconds
        )

    return dial


def _between(world: World, actor: str) -> Cut | None:
    """A hello needs both ways."""
    return world.cut(world.me, actor) or world.cut(actor, world.me)
