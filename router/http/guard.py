"""What stands before each of Cloudflare's endpoints: leave, bounds of the body, errors in the envelope, the audit."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final

import msgspec
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive
from starlette.types import Scope as Connection

from raylite.actors import audit
from raylite.policies import limits
from raylite.policies.errors import Error, OutcomeUnknown
from raylite.router.http.envelope import KNOWN, failed, meaning, printable
from raylite.router.http.names import plain_name
from raylite.router.http.ports import Authorizer, Scope
from raylite.router.http.reading import Rejected, bearer, body_of

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_NO_TOKEN: Final = "the request has no token. Nothing was run."
_NO_LEAVE: Final = "this token may not do this. Nothing was run."
_CUT: Final = "it ended without an answer, and may have been done"
_STOPPED: Final = "it was stopped, and may have been done"
_REFUSED: Final = (401, 403)
_NAMED_CHARACTERS: Final = 100
_OUTCOME_CHARACTERS: Final = 1000
_LOGGER: Final = logging.getLogger(__name__)


class Rule(msgspec.Struct, frozen=True):
    """What one endpoint asks of its callers.

    scope: None if the endpoint itself calls `admit`, or needs no leave; act: what the audit line calls it, "" for
    none; refusals_only: whether the endpoint itself writes the line of whoever has leave; most: bytes of the body, 0 if
    the endpoint itself reads it.
    """

    scope: Scope | None
    act: str = ""
    refusals_only: bool = False
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
        outcome, refused = _CUT, False
        try:
            response, outcome = await self._run(request, rule, handler), audit.DONE
        except KNOWN as error:
            outcome, refused = meaning(error)[2], meaning(error)[0] in _REFUSED
            response = failed(error)
        except Exception as error:
            # A defect of raylite. Clients repeat a 500 by themselves, and this may have been a write.
            _LOGGER.exception("a request ended with a defect")
            outcome = f"a defect, {type(error).__name__}"
            response = failed(OutcomeUnknown(_subject(request) or "the system", f"raylite has {outcome}"))
        finally:
            if rule.act and (refused or not rule.refusals_only):
                _write(await self.who(request), rule.act, _subject(request), outcome)
        return response

    async def _run(self, request: Request, rule: Rule, handler: Handler) -> Response:
        """The body is read only of those who may."""
        if rule.scope is not None:
            await self.admit(request, rule.scope, plain_name(request.path_params.get("database", "")))
        if not rule.most:
            return await handler(request)
        body = await body_of(request, rule.most)
        return await handler(Whole(request.scope, request.receive, body))


@contextlib.contextmanager
def audited(who: str, act: str, database: str) -> Generator[None]:
    """Writes the audit's line at the end of an act that outlives its request."""
    outcome = _STOPPED
    try:
        yield
        outcome = audit.DONE
    except Error as error:
        outcome = str(error)
        raise
    finally:
        _write(who, act, database, outcome)


def _write(who: str, act: str, database: str, outcome: str) -> None:
    audit.write(audit.Act(who, act, database, printable(outcome[:_OUTCOME_CHARACTERS])))


def _subject(request: Request) -> str:
    """The database as the request names it; an endpoint that reads it from the body notes it in `request.state`."""
    named = str(request.path_params.get("database") or getattr(request.state, "database", ""))
    return printable(named[:_NAMED_CHARACTERS])
