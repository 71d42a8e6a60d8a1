"""The protocol between workerd's D1 binding and its service, under `/d1/{name or id}`, and miniflare's framing of it.

workerd adds headers to what a binding sends, but nothing to its path: it can name the database in a header, too.

Statements fail with status 200 and a single object, which is what the binding reads. Before that: 401 without leave,
404 for an unknown database or path, 408 and 413 for a body that is slow or large.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from raylite.policies.errors import DatabaseNotFound, Error, InvalidName
from raylite.router.http.answers import entries, failure
from raylite.router.http.asking import Conversation
from raylite.router.http.counts import Counts
from raylite.router.http.error_text import Refused, error_text
from raylite.router.http.ports import Authorizer, Databases, Scope, Target
from raylite.router.http.reading import Rejected, bearer, body_of
from raylite.router.http.requests import decoded

TOKEN: Final = "x-cf-d1-session-commit-token"
DATABASE: Final = "x-d1-database-id"
_ACTIONS: Final = ("query", "execute", "dump")
_FRAMED: Final = "mf-url"
_FRAMED_HEADER: Final = "mf-header-"
_DUMP: Final = "dump() is not offered: export the database, `raylite export`. Nothing was run."


class Call(msgspec.Struct, frozen=True):
    """What was called: the last part of its path, the form of its results, and the session's header if it has one."""

    action: str
    form: str
    token: str | None


class Binding:
    """The protocol's routes."""

    def __init__(self, databases: Databases, authorizer: Authorizer, counts: Counts) -> None:
        self._databases, self._authorizer, self._counts = databases, authorizer, counts

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
        return await self._answer(call, target, body)

    async def _target(self, request: Request) -> Target:
        name = request.path_params.get("database") or request.headers.get(DATABASE, "")
        try:
            if not await self._authorizer.check(bearer(request), Scope.WRITE, name):
                raise Rejected(401, "the request has no token that may do this. Nothing was run.")
            return await self._databases.find(name)
        except (DatabaseNotFound, InvalidName) as error:
            raise Rejected(404, str(error)) from error
        except Error as error:
            raise Rejected(error.http_status, str(error)) from error

    async def _answer(self, call: Call, target: Target, body: bytes) -> Response:
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
            asked = await conversation.ask(groups)
        except Error as error:
            return _json(failure(error_text(error)), token=conversation.bookmark)
        statements = [statement for group in groups for statement in group.statements]
        self._counts.add(target.database_id, statements, asked.answer.results)
        found = entries(asked, groups, call.form)
        return _json(found if several else found[0], token=conversation.bookmark)


def call_of(request: Request) -> Call:
    """What is called; miniflare names it in a header, and prefixes the others. Raises `Rejected`."""
    framed = request.headers.get(_FRAMED)
    url = urlsplit(framed if framed is not None else str(request.url))
    action = url.path.rpartition("/")[2]
    if action not in _ACTIONS:
        raise Rejected(404, f"there is no {action!r} here, but query and execute. Nothing was run.")
    token = request.headers.get(TOKEN if framed is None else _FRAMED_HEADER + TOKEN)
    return Call(action, parse_qs(url.query).get("resultsFormat", [""])[0], token)


def _json(content: object, status: int = 200, token: str = "") -> Response:
    headers = {TOKEN: token} if token else {}
    return Response(msgspec.json.encode(content), status, headers, "application/json")
