"""The envelope around every answer of Cloudflare's API, and errors with its statuses and codes.

200: done. 400: refused, nothing was applied. 401, 403: no leave. 404: no such thing. 408, 413: the body. 424: nobody
can say whether the write took effect, or its answer is gone; clients repeat 408, 409, 429 and 5xx by themselves, and
this must not be repeated so. 429, 503: certainly not run, try again. 500: damage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Generic, Literal, TypeVar

import msgspec
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from raylite.policies.errors import (
    DatabaseExists,
    DatabaseNotFound,
    Error,
    Invalid,
    InvalidName,
    Overloaded,
    Unavailable,
)
from raylite.router.http.error_text import Refused, error_text
from raylite.router.http.reading import Rejected

T = TypeVar("T")

FAILED: Final = 7500
NOT_FOUND: Final = 7404
EXISTS: Final = 7502
INVALID: Final = 7400
NO_LEAVE: Final = 10000
NO_ROUTE: Final = 7003
UNCERTAIN_STATUS: Final = 424

_AGAIN: Final = {"retry-after": "1"}
_HEADERS: Final = {401: {"www-authenticate": "Bearer"}, 429: _AGAIN, 503: _AGAIN}
_CODES: Final = {401: NO_LEAVE, 403: NO_LEAVE, 404: NOT_FOUND, 405: NO_ROUTE}


class Message(BaseModel):
    """One error, or one message."""

    code: int
    message: str


class Answered(BaseModel, Generic[T]):
    """A request that was done."""

    success: Literal[True]
    result: T
    errors: list[Message]
    messages: list[Message]


class Failed(BaseModel):
    """A request that was not."""

    success: Literal[False]
    result: None
    errors: list[Message]
    messages: list[Message]


def answered(result: object, headers: Mapping[str, str] | None = None, **more: object) -> Response:
    """The answer with this result."""
    content: dict[str, object] = {"success": True, "result": result, "errors": [], "messages": [], **more}
    return _json(content, 200, headers)


def failed(error: Exception, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that ended with an error that is known here; raises any other."""
    status, code, text = meaning(error)
    message = {"code": code, "message": printable(text)}
    content: dict[str, object] = {"success": False, "result": None, "errors": [message], "messages": []}
    return _json(content, status, {**_HEADERS.get(status, {}), **(headers or {})})


def printable(text: str) -> str:
    """The text as UTF-8 can have it: a request may name what has lone surrogates."""
    return text.encode(errors="replace").decode()


KNOWN: Final = (Rejected, Refused, RequestValidationError, HTTPException, Error)
"""What `failed` takes."""


def meaning(error: Exception) -> tuple[int, int, str]:
    """Status, code and text."""
    match error:
        case Rejected():
            return error.status, error.code or _CODES.get(error.status, INVALID), error.text
        case Refused():
            return 400, FAILED, str(error)
        case RequestValidationError():
            return 400, INVALID, f"{_places(error)}. Nothing was run."
        case HTTPException():
            return error.status_code, _CODES.get(error.status_code, INVALID), error.detail
        case Error():
            return *_of_raylite(error), error_text(error)
        case _:
            raise error


def _of_raylite(error: Error) -> tuple[int, int]:
    if error.may_have_applied:
        return UNCERTAIN_STATUS, FAILED
    match error:
        case DatabaseNotFound() | InvalidName():
            return 404, NOT_FOUND
        case DatabaseExists():
            return 400, EXISTS
        case Invalid():
            return 400, FAILED
        case Overloaded():
            return 429, FAILED
        case Unavailable():
            return 503, FAILED
        case _:
            return 500, FAILED


def _places(error: RequestValidationError) -> str:
    found = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return "; ".join(found[:5])


def _json(content: object, status: int, headers: Mapping[str, str] | None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, "application/json")
