"""The ASGI application that speaks D1's protocols. Mount it anywhere; docs/compatibility.md says what it does."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from raylite.router.http.binding import Binding
from raylite.router.http.counts import Counts
from raylite.router.http.envelope import failed
from raylite.router.http.ports import Authorizer, Databases, Management
from raylite.router.http.rest import Rest

_ABOUT: Final = (
    "Cloudflare's REST API for D1 as raylite speaks it, with sessions by the header x-d1-bookmark. Errors: 400, 403, "
    "404: nothing was applied; 429 and 503 were not run, and may be repeated; 424 may have taken effect."
)


class Application(FastAPI):
    """As FastAPI, but that requests which cannot be understood get 400 here, as in Cloudflare's API, and not 422."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        document = super().openapi()
        for methods in document["paths"].values():
            for one in methods.values():
                one["responses"].pop("422", None)
        return document


def application(databases: Databases, authorizer: Authorizer, management: Management, spool: Path) -> FastAPI:
    """The application; the routers of `databases` must belong to the event loop that it runs on.

    spool: a folder for files on their way, which no other process uses; what is in it goes. The end of the
    application's lifespan ends exports and imports and removes their files: who serves it without a lifespan, or
    mounts it, enters `made.router.lifespan_context(made)`.
    """
    counts = Counts()
    rest = Rest(databases, authorizer, management, counts, spool)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        await rest.close()

    made = Application(title="raylite", description=_ABOUT, docs_url=None, redoc_url=None, lifespan=lifespan)
    made.include_router(rest.router)
    made.router.routes.extend(Binding(databases, authorizer, counts).routes())
    made.add_exception_handler(HTTPException, _unrouted)
    return made


async def _unrouted(request: Request, error: Exception) -> Response:
    """No such path, or not with this method."""
    return failed(error)
