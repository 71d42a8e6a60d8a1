"""The HTTP API of a running system as an ASGI application, for a gateway or any other server (docs/http.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from raylite.actors import handles
from raylite.policies.system import REGISTRY, Settings
from raylite.policies.tokens import Token
from raylite.router import api
from raylite.router.gateway_databases import GatewayDatabases
from raylite.router.http.application import application
from raylite.router.http.gate import Gate
from raylite.router.http.ports import Authorizer
from raylite.router.http.tokens import TokenAuthorizer
from raylite.router.runtime import Runtime, own_region


@asynccontextmanager
async def hosted(
    settings: Settings, region: str, spool: Path, *, rate: float = 0.0, authorizer: Authorizer | None = None
) -> AsyncGenerator[ASGIApp]:
    """The application on this event loop, for a while.

    region: from which databases are asked; spool: a folder for its files on their way, and nobody else's; rate:
    requests a second that one caller may make, 0.0 for any number;
    authorizer: who decides instead of the system's tokens. Beside the API it answers `/health`, always, and `/ready`
    with 503 while it cannot tell where databases are.
    """
    runtime = Runtime(settings)
    databases = GatewayDatabases(runtime, region)
    async with AsyncExitStack() as undo:
        undo.push_async_callback(runtime.close)
        if authorizer is None:
            authorizer = tokens = TokenAuthorizer(_tokens, databases.database_id)
            undo.push_async_callback(_ended, asyncio.create_task(tokens.follow()))
        made = application(databases, authorizer, databases, spool)
        await undo.enter_async_context(made.router.lifespan_context(made))
        made.add_api_route("/health", _health, include_in_schema=False)

        async def ready() -> Response:
            return JSONResponse({"ready": runtime.follows}, 200 if runtime.follows else 503)

        made.add_api_route("/ready", ready, include_in_schema=False)
        yield Gate(made, rate)


def own_application(
    *, region: str | None = None, rate: float = 0.0, authorizer: Authorizer | None = None
) -> Starlette:
    """The HTTP API for an ASGI server of one's own, such as a Ray Serve deployment; see `hosted`.

    It joins the system when the server's lifespan begins. region: from which databases are asked, this node's unless
    given.
    """
    served: list[ASGIApp] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        settings = await asyncio.to_thread(api.settings)
        where = region or own_region(settings)
        with TemporaryDirectory(prefix="raylite-http-") as spool:
            async with hosted(settings, where, Path(spool), rate=rate, authorizer=authorizer) as made:
                served.append(made)
                yield
                served.clear()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await served[0](scope, receive, send)

    return Starlette(routes=[Mount("/", app=serve)], lifespan=lifespan)


async def _tokens() -> list[Token]:
    found: list[Token] = await handles.call(REGISTRY, "tokens")
    return found


async def _health(_: Request) -> Response:
    return JSONResponse({"alive": True})


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
