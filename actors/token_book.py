"""The tokens of a system, in the registry's database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from raylite.actors import audit
from raylite.policies import limits
from raylite.policies.errors import ConstraintError, NotAllowed
from raylite.policies.query import Value
from raylite.policies.tokens import Scope, Token

TABLE = """
CREATE TABLE tokens (
  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, digest BLOB NOT NULL, scope TEXT NOT NULL,
  database_id TEXT NOT NULL, created_us INTEGER NOT NULL, expires_us INTEGER NOT NULL
) STRICT
"""

Run = Callable[..., Awaitable[Sequence[tuple[Value, ...]]]]
"""Runs one statement with its values in the catalogue, durably; its rows."""


class TokenBook:
    """Reads and writes them; durable once a method returns. ready: waits until the catalogue can be asked."""

    def __init__(self, run: Run, ready: Callable[[], Awaitable[object]]) -> None:
        self._run, self._ready = run, ready

    async def add(self, token: Token) -> None:
        """A new one; raises `NotAllowed` if its name is taken, or there are too many."""
        values = (
            token.token_id, token.name, token.digest, token.scope.value, token.database_id, token.created_us,
            token.expires_us,
        )  # fmt: skip
        insert = (
            "INSERT INTO tokens SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7"
            f" WHERE (SELECT count(*) FROM tokens) < {limits.TOKENS} RETURNING id"
        )
        await self._ready()
        try:
            made = await self._run(insert, *values)
        except ConstraintError:
            raise NotAllowed(f"Making a second token {token.name}", "Revoke the first one before.") from None
        if not made:
            raise NotAllowed(f"Making more than {limits.TOKENS} tokens", "Revoke some before.")
        audit.write(audit.Act("", "create token", token.name, audit.DONE))

    async def all(self) -> list[Token]:
        """All of them, by name."""
        await self._ready()
        columns = "id, name, digest, scope, database_id, created_us, expires_us"
        return [_token(row) for row in await self._run(f"SELECT {columns} FROM tokens ORDER BY name")]

    async def revoke(self, name: str) -> None:
        """Ends the one of this name; raises `NotAllowed` if there is none."""
        await self._ready()
        if not await self._run("DELETE FROM tokens WHERE name = ? RETURNING id", name):
            raise NotAllowed(f"Revoking token {name}", "There is none of this name: `raylite token list`.")
        audit.write(audit.Act("", "revoke token", name, audit.DONE))


class TokenMethods:
    """The same as methods of the registry's actor."""

    token_book: TokenBook

    async def add_token(self, token: Token) -> None:
        """See `TokenBook.add`."""
        await self.token_book.add(token)

    async def tokens(self) -> list[Token]:
        """See `TokenBook.all`."""
        return await self.token_book.all()

    async def revoke_token(self, name: str) -> None:
        """See `TokenBook.revoke`."""
        await self.token_book.revoke(name)


def _token(row: tuple[Value, ...]) -> Token:
    token_id, name, digest, scope, database_id, created_us, expires_us = row
    assert isinstance(digest, bytes), "the table is STRICT"
    assert isinstance(created_us, int), "the table is STRICT"
    assert isinstance(expires_us, int), "the table is STRICT"
    return Token(
        str(token_id), str(name), digest, Scope(str(scope)), str(database_id), created_us, expires_us
    )
