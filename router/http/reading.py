"""What a request brings before it is understood: its token, and its body, which has bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.requests import ClientDisconnect, Request

from raylite.policies import limits


class Rejected(Exception):
    """A request that ends with this status and text before it reaches a database. code: of Cloudflare's API, 0: any."""

    def __init__(self, status: int, text: str, code: int = 0) -> None:
        super().__init__(status, text, code)
        self.status, self.text, self.code = status, text, code


def bearer(request: Request) -> str:
    """The token of the Authorization header, "" if there is none."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


async def body_of(request: Request, most: int = limits.HTTP_BODY_BYTES) -> bytes:
    """The whole body; raises `Rejected` for one of more than `most` bytes, too slow, or cut."""
    body = bytearray()
    try:
        async with asyncio.timeout(limits.HTTP_BODY_SECONDS):
            async for part in parts_of(request, most):
                body += part
    except TimeoutError:
        raise _slow() from None
    return bytes(body)


async def parts_of(request: Request, most: int) -> AsyncGenerator[bytes]:
    """The body as it comes; raises `Rejected` for one of more than `most` bytes, one that pauses too long, or cut."""
    stream, size = request.stream(), 0
    while True:
        part = await _part(stream)
        if part is None:
            return
        size += len(part)
        if size > most:
            raise Rejected(413, f"the body is larger than {most} bytes. Nothing was run.")
        yield part


async def blocks_of(parts: AsyncGenerator[bytes], size: int) -> AsyncGenerator[bytes]:
    """The same bytes in blocks of at least `size`, but for the last."""
    block = bytearray()
    async for part in parts:
        block += part
        if len(block) >= size:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


async def _part(stream: AsyncGenerator[bytes]) -> bytes | None:
    try:
        async with asyncio.timeout(limits.HTTP_BODY_SECONDS):
            return await anext(stream, None)
    except TimeoutError:
        raise _slow() from None
    except ClientDisconnect:
        raise Rejected(400, "the body ended early. Nothing was run.") from None


def _slow() -> Rejected:
    return Rejected(408, "the body did not arrive in time. Nothing was run.")
