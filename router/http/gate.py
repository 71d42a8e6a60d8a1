"""What stands before the application: how many requests are under way, and how many one caller may make."""

from __future__ import annotations

import time
from typing import Final

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from raylite.policies import limits
from raylite.policies.rate import Rates
from raylite.router.http.envelope import FAILED

_OVERLOADED: Final = "D1 DB is overloaded. Too many requests queued. Nothing was run. Try again."
_OTHER_SITES: Final = ("cross-site", "same-site")
_OTHER_SITE: Final = "a browser sent this for a page of another site. Nothing was run."
_TOO_OFTEN: Final = "this caller makes more requests a second than it may. Nothing was run. Try again later."


class Gate:
    """An ASGI application before another one. rate: requests a second that one caller may make, 0.0 for any number.

    A caller is who sends the same Authorization header, or without one the same address. What a browser sends for a
    page of another site is refused: it needs no token where none is asked for, and its user knows nothing of it.
    Refusals have the fields of both protocols, the binding's and Cloudflare's API.
    """

    def __init__(self, application: ASGIApp, rate: float = 0.0, most: int = limits.HTTP_REQUESTS) -> None:
        self._application, self._most = application, most
        self._rates = Rates(rate, limits.HTTP_CALLERS) if rate else None
        self.under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or hands on."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        self.under_way += 1
        try:
            await self._application(scope, receive, send)
        finally:
            self.under_way -= 1

    def _refusal(self, scope: Scope) -> Response | None:
        if Headers(scope=scope).get("sec-fetch-site") in _OTHER_SITES:
            return _refused(403, _OTHER_SITE)
        if self.under_way >= self._most:
            return _refused(503, _OVERLOADED, 1.0)
        wait = self._rates.wait(_caller(scope), time.monotonic()) if self._rates else 0.0
        return _refused(429, _TOO_OFTEN, wait) if wait > 0 else None


def _caller(scope: Scope) -> str:
    client = scope.get("client")
    return Headers(scope=scope).get("authorization") or (client[0] if client else "")


def _refused(status: int, text: str, seconds: float = 0.0) -> Response:
    content = {
        "success": False,
        "error": text,
        "result": None,
        "errors": [{"code": FAILED, "message": text}],
        "messages": [],
    }
    headers = {"retry-after": f"{max(1, round(seconds))}"} if seconds else {}
    return Response(msgspec.json.encode(content), status, headers, "application/json")
