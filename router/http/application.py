"""The ASGI application that speaks D1's protocols. Mount it anywhere; docs/compatibility.md says what it does."""

from __future__ import annotations

from fastapi import FastAPI

from raylite.router.http.binding import Binding
from raylite.router.http.ports import Authorizer, Databases


def application(databases: Databases, authorizer: Authorizer) -> FastAPI:
    """The application; the routers of `databases` must belong to the event loop that it runs on."""
    made = FastAPI(title="raylite", docs_url=None, redoc_url=None)
    made.router.routes.extend(Binding(databases, authorizer).routes())
    return made
