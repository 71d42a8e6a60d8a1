"""Connections that one actor keeps to others: dialled by name, resolved anew at each try, for ever."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from raylite.actors.service import Service
from raylite.actors.stream import Connection, Handler, OnReply, Payload
from raylite.policies.backoff import Backoff
from raylite.policies.errors import Unreachable

REDIAL = Backoff(0.05, 1.0)


class Link:
    """A connection to one actor that is renewed whenever it ends.

    `on_up` is called with each new connection, `on_down` when it has ended; `handler` takes what the other side
    asks for.
    """

    def __init__(
        self,
        service: Service,
        actor: str,
        *,
        on_up: Callable[[Connection], None],
        on_down: Callable[[], None],
        handler: Handler,
    ) -> None:
        self.actor = actor
        self.connection: Connection | None = None
        self._service, self._on_up, self._on_down, self._handler = service, on_up, on_down, handler
        self._task = service.hold(self._run())

    def post(self, message: Payload, on_reply: OnReply) -> None:
        """Sends a request; without a connection nothing happens, as if it were lost."""
        if self.connection is not None:
            self.connection.post(message, on_reply)

    def close(self) -> None:
        """Ends the connection and stops dialling."""
        self._task.cancel()
        if self.connection is not None:
            self.connection.close()

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                self.connection = await self._service.dial(self.actor, self._handler)
            except (Unreachable, TimeoutError, OSError):
                await asyncio.sleep(REDIAL.delay(failures, random.random()))
                failures += 1
                continue
            failures = 0
            self._on_up(self.connection)
            await self.connection.closed
            self.connection = None
            self._on_down()
