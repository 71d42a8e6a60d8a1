"""The protocol between workerd's D1 binding and its service, under `/d1/{name or id}`, and miniflare's framing of it.

workerd adds headers to what a binding sends, but nothing to its path: it can name the database in a header, too.

Statements fail with status 200 and a single object, which is what the binding reads. Before that: 401 without leave,
404 for an unknown database or path, 408 and 413 for a body that is slow or large.
"""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from raylite.policies import limits
from raylite.policies.errors import DatabaseNotFound, Error, InvalidName
from raylite.router.http.answers import entries, failure
from raylite.router.http.asking import Conversation
from raylite.router.http.error_text import Refused, error_text
from raylite.router.http.ports import Authorizer, Databases, Scope, Target
from raylite.router.http.requests import decoded

TOKEN: Final = "x-cf-d1-session-commit-token"
DATABASE: Final = "x-d1-database-id"
_ACTIONS: Final = ("query", "execute", "dump")
_FRAMED: Final = "mf-url"
_FRAMED_HEADER: Final = "mf-header-"
_DUMP: Final = "dump() is not offered: export the database, `raylite export`. Nothing was run."


class Rejected(Exception):
    """A request that ends with this status and text before it reaches a database."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status, self.text = status, text


class Call(msgspec.Struct, frozen=True):
    """What was called: the last part of its path, the form of its results, and the session's header if it has one."""

    action: str
    form: str
    token: str | None


class Binding:
    """The protocol's routes."""

    def __init__(self, databases: Databases, authorizer: Authorizer) -> None:
        self._databases, self._authorizer = databases, authorizer

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/d1/{database}", self._serve, methods=["POST"]),
            Route("/d1/{database}/{action}", self._serve, methods=["POST"]),
            *(Route(f"/{action}", self._serve, methods=["POST"]) for action in _ACTIONS),
        ]

    async def _serve(self, request: Request) -> Response:
        try:
            call = call_of(request)
            target = await self._target(request)
            body = await body_of(request)
        except Rejected as rejected:
            return _json(failure(rejected.text), rejected.status)
        return await _answer(call, target, body)

    async def _target(self, request: Request) -> Target:
        name = request.path_params.get("database") or request.headers.get(DATABASE, "")
        if not await self._authorizer.check(bearer(request), Scope.WRITE, name):
            raise Rejected(401, "the request has no token that may do this. Nothing was run.")
        try:
            return await self._databases.find(name)
        except (DatabaseNotFound, InvalidName) as error:
            raise Rejected(404, str(error)) from error
        except Error as error:
            raise Rejected(error.http_status, str(error)) from error


def call_of(request: Request) -> Call:
    """What is called; miniflare names it in a header, and prefixes the others. Raises `Rejected`."""
    framed = request.headers.get(_FRAMED)
    url = urlsplit(framed if framed is not None else str(request.url))
    action = url.path.rpartition("/")[2]
    if action not in _ACTIONS:
        raise Rejected(404, f"there is no {action!r} here, but query and execute. Nothing was run.")
    token = request.headers.get(TOKEN if framed is None else _FRAMED_HEADER + TOKEN)
    return Call(action, parse_qs(url.query).get("resultsFormat", [""])[0], token)


def bearer(request: Request) -> str:
    """The token of the Authorization header, "" if there is none."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


async def body_of(request: Request) -> bytes:
    """The whole body; raises `Rejected` for one that is too large, too slow, or cut."""
    body = bytearray()
    try:
        async with asyncio.timeout(limits.HTTP_BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > limits.HTTP_BODY_BYTES:
                    most = limits.HTTP_BODY_BYTES
                    raise Rejected(413, f"the body is larger than {most} bytes. Nothing was run.")
    except TimeoutError:
        raise Rejected(408, "the body did not arrive in time. Nothing was run.") from None
    except ClientDisconnect:
        raise Rejected(400, "the body ended early. Nothing was run.") from None
    return bytes(body)


async def _answer(call: Call, target: Target, body: bytes) -> Response:
    if call.action == "dump":
        return _json(failure(_DUMP), 501)
    try:
        groups, several = decoded(body)
        conversation = Conversation(target, call.token)
    except Refused as refused:
        return _json(failure(str(refused)))
    except Error as error:
        return _json(failure(error_text(error)))
    try:
        found = entries(await conversation.ask(groups), groups, call.form)
    except Error as error:
        return _json(failure(error_text(error)), token=conversation.bookmark)
    return _json(found if several else found[0], token=conversation.bookmark)


def _json(content: object, status: int = 200, token: str = "") -> Response:
    headers = {TOKEN: token} if token else {}
    return Response(msgspec.json.encode(content), status, headers, "application/json")
