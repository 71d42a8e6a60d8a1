"""The HTTP API as an actor: uvicorn and the application on the actor's own event loop (docs/http.md)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from raylite.actors import audit
from raylite.actors.gateways import Listen
from raylite.actors.service import node_directory
from raylite.policies import limits
from raylite.policies.errors import Error, NotAllowed, Unreachable
from raylite.policies.status import ActorStatus
from raylite.policies.system import Settings
from raylite.router.hosted import hosted
from raylite.router.http.ports import AnyoneMay

_BACKLOG: Final = 2048


class Gateway:
    """Listens from its start until it is drained; what keeps it from listening is tried again, and told by `up`."""

    def __init__(self, name: str, listen: Listen, settings: Settings) -> None:
        self.name, self.listen, self.settings = name, listen, settings
        audit.show()
        self._decided = asyncio.Event()
        self._problem = ""
        self._server: uvicorn.Server | None = None
        self._work = asyncio.get_running_loop().create_task(self._run())

    async def up(self, listen: Listen) -> str:
        """The URL where it listens; raises `Unreachable` if it cannot, `NotAllowed` if it listens otherwise."""
        if listen != self.listen:
            raise NotAllowed(
                f"Another gateway at port {listen.port} of this node", "End it first: `raylite serve --stop`."
            )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.START_SECONDS / 2):
                await self._decided.wait()
        if self._problem or not self._decided.is_set():
            raise Unreachable(self.name, self._problem or "it takes long to start")
        return self.url

    @property
    def url(self) -> str:
        """Where it listens."""
        kind = "https" if self.listen.certificate else "http"
        host = f"[{self.listen.host}]" if ":" in self.listen.host else self.listen.host
        return f"{kind}://{host}:{self.listen.port}"

    async def drain(self) -> None:
        """Takes no new connection, and returns once all requests are answered, or after a while."""
        if self._server is not None:
            self._server.should_exit = True
        else:
            self._work.cancel()
        await asyncio.wait([self._work], timeout=limits.DRAIN_SECONDS)

    async def status(self) -> ActorStatus:
        """How it is."""
        serves = self._server is not None and self._server.started
        state = "draining" if self._drains else "serving" if serves else "starting"
        problems = (self._problem,) if self._problem else ()
        return ActorStatus(self.name, "gateway", self.listen.region, os.getpid(), state, problems=problems)

    @property
    def _drains(self) -> bool:
        return self._server is not None and self._server.should_exit

    async def _run(self) -> None:
        while True:
            try:
                with _bound(self.listen) as bound:
                    self._problem = ""
                    await self._serve(bound)
                return
            except (OSError, Error) as error:
                self._problem = f"it cannot listen at {self.url}: {error}"
                self._decided.set()
            await asyncio.sleep(limits.LOOK_SECONDS)

    async def _serve(self, bound: socket.socket) -> None:
        """Serves until it is drained."""
        listen = self.listen
        anyone = AnyoneMay() if listen.insecure else None
        data = node_directory(self.settings.data_dir, self.settings.virtual)
        spool = data / "gateways" / str(listen.port)
        async with hosted(
            self.settings, listen.region, spool, rate=listen.rate, authorizer=anyone
        ) as application:
            configuration = _configuration(application, listen)
            configuration.load()
            self._server = uvicorn.Server(configuration)
            self._decided.set()
            await self._server.serve(sockets=[bound])


def _configuration(application: ASGIApp, listen: Listen) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        lifespan="off",
        log_config=None,
        access_log=False,
        ssl_certfile=listen.certificate or None,
        ssl_keyfile=listen.private_key or None,
        timeout_graceful_shutdown=limits.REQUESTS_END_SECONDS,
    )


def _bound(listen: Listen) -> socket.socket:
    """A socket that listens; raises OSError."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    return socket.create_server((listen.host, listen.port), family=family, backlog=_BACKLOG)
