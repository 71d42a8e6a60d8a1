"""Makes, lists and revokes tokens of the HTTP API."""

from __future__ import annotations

import secrets
import time

from raylite.actors import handles
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import ParameterError
from raylite.policies.system import REGISTRY
from raylite.policies.tokens import (
    ID_BYTES,
    SECRET_BYTES,
    Scope,
    Token,
    digest_of,
    text_of,
    token_name,
)  # fmt: skip

_DAY_US = 86_400 * 1_000_000


async def create(name: str, scope: Scope, database: str = "", days: float = 0.0) -> tuple[Token, str]:
    """A new token, and its text, which is stored nowhere. database: the only one that it is for, "" for all.

    days: until it expires, 0.0 for never. Raises `ParameterError`, `NotAllowed` if its name is taken, or
    `DatabaseNotFound`.
    """
    if not 0 <= days < float("inf"):
        raise ParameterError(
            f"a token cannot expire after {days:g} days: give a positive number, or 0 for never"
        )
    database_id = ""
    if database:
        entry: DatabaseEntry = await handles.call(REGISTRY, "lookup", database)
        database_id = entry.database_id
    secret, now_us = secrets.token_hex(SECRET_BYTES), time.time_ns() // 1000
    expires_us = now_us + round(days * _DAY_US) if days else 0
    token = Token(
        secrets.token_hex(ID_BYTES),
        token_name(name),
        digest_of(secret),
        scope,
        database_id,
        now_us,
        expires_us,
    )
    await handles.call(REGISTRY, "add_token", token)
    return token, text_of(token.token_id, secret)


async def all_tokens() -> list[Token]:
    """All of them, by name."""
    found: list[Token] = await handles.call(REGISTRY, "tokens")
    return found


async def revoke(name: str) -> None:
    """Ends the token of this name, in all gateways within a moment; raises `NotAllowed` if there is none."""
    await handles.call(REGISTRY, "revoke_token", name)
