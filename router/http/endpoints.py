"""Where Cloudflare's endpoints are added to, each with what it asks of its callers and how it may answer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import APIRouter, Depends
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from raylite.router.http.envelope import Failed
from raylite.router.http.guard import Guard, Rule

BASE: Final = "/client/v4"
DATABASES: Final = "/accounts/{account}/d1/database"
DATABASE: Final = DATABASES + "/{database}"

_BEARER: Final = HTTPBearer(auto_error=False, description="An API token of the system.")
_FAILURES: Final = {
    400: "Refused; nothing was applied.",
    401: "There is no token.",
    403: "The token may not do this.",
    404: "There is no such database, transfer or path.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    424: "Nobody can say whether it took effect, or it met a defect of raylite; read before you repeat it.",
    429: "Too much is under way. Not run; try again.",
    500: "Something is damaged.",
    503: "Not run; try again.",
}

_BYTES: Final = {"schema": {"type": "string", "format": "binary"}}

Endpoint = Callable[..., Coroutine[Any, Any, Response]]


class Endpoints:
    """Collects them in `router`."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.router = APIRouter(prefix=BASE)

    def add(
        self,
        method: str,
        path: str,
        endpoint: Endpoint,
        rule: Rule,
        result: type[BaseModel] | None = None,
        *,
        signed: bool = False,
        bytes_in: str = "",
        bytes_out: str = "",
    ) -> None:
        """One more; the endpoint's name is its operation id, its docstring the description.

        result: its answer, None if that is no JSON; signed: whoever knows its URL may; bytes_in, bytes_out: the content
        type of a body, or an answer, that is no JSON.
        """
        responses: dict[int | str, dict[str, Any]] = {
            status: {"model": Failed, "description": text} for status, text in _FAILURES.items()
        }
        if bytes_out:
            responses[200] = {"content": {bytes_out: _BYTES}}
        taken = {"requestBody": {"required": True, "content": {bytes_in: _BYTES}}} if bytes_in else None
        self.router.add_api_route(
            path,
            endpoint,
            methods=[method],
            response_model=result,
            response_class=JSONResponse if result else Response,
            operation_id=endpoint.__name__,
            openapi_extra=taken,
            responses=responses,
            dependencies=[] if signed else [Depends(_BEARER)],
            route_class_override=self._guard.route(rule),
        )
