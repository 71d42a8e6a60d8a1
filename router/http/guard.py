"""What stands before each of Cloudflare's endpoints: leave, bounds of the body, errors in the envelope, the audit."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive
from starlette.types import Scope as Connection

from raylite.actors import audit
from raylite.policies import limits
from raylite.router.http.envelope import KNOWN, failed, meaning
from raylite.router.http.names import plain_name
from raylite.router.http.ports import Authorizer, Scope
from raylite.router.http.reading import Rejected, bearer, body_of

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_NO_TOKEN: Final = "the request has no token. Nothing was run."
_NO_LEAVE: Final = "this token may not do this. Nothing was run."
_CUT: Final = "it ended without an answer, and may have been done"


class Rule(msgspec.Struct, frozen=True):
    """What one endpoint asks of its callers.

    scope: None if the endpoint itself calls `admit`, or needs no leave; act: what the audit line calls it, "" for
    none; most: bytes of the body, 0 if the endpoint itself reads it.
    """

    scope: Scope | None
    act: str = ""
    most: int = limits.HTTP_BODY_BYTES


class Whole(Request):
    """A request whose body has been read."""

    def __init__(self, scope: Connection, receive: Receive, body: bytes) -> None:
        super().__init__(scope, receive)
        self._whole = body

    async def body(self) -> bytes:
        """It."""
        return self._whole


class Guard:
    """Lets requests through to endpoints."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def route(self, rule: Rule) -> type[APIRoute]:
        """The class of a route of this rule."""
        answer = self._answer

        class Guarded(APIRoute):
            def get_route_handler(self) -> Handler:
                handler = super().get_route_handler()

                async def handle(request: Request) -> Response:
                    return await answer(request, rule, handler)

                return handle

        return Guarded

    async def admit(self, request: Request, scope: Scope, database: str) -> None:
        """Raises `Rejected` without leave. database: name or id, "" for what concerns all."""
        token = bearer(request)
        if not await self._authorizer.check(token, scope, database):
            raise Rejected(403, _NO_LEAVE) if token else Rejected(401, _NO_TOKEN)

    async def who(self, request: Request) -> str:
        """The name of the caller, "" if it is unknown."""
        return await self._authorizer.who(bearer(request))

    async def _answer(self, request: Request, rule: Rule, handler: Handler) -> Response:
        outcome = _CUT
        try:
            response, outcome = await self._run(request, rule, handler), audit.DONE
        except KNOWN as error:
            outcome = meaning(error)[2]
            response = failed(error)
        finally:
            if rule.act:
                audit.write(audit.Act(await self.who(request), rule.act, _subject(request), outcome))
        return response

    async def _run(self, request: Request, rule: Rule, handler: Handler) -> Response:
        """The body is read only of those who may."""
        if rule.scope is not None:
            await self.admit(request, rule.scope, plain_name(request.path_params.get("database", "")))
        if not rule.most:
            return await handler(request)
        body = await body_of(request, rule.most)
        return await handler(Whole(request.scope, request.receive, body))


def _subject(request: Request) -> str:
    """The database as the request names it; an endpoint that reads it from the body notes it in `request.state`."""
    return str(request.path_params.get("database") or getattr(request.state, "database", ""))
