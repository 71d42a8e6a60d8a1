"""Who may do what: an `Authorizer` that knows the system's tokens."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence

from raylite.policies import limits
from raylite.policies.errors import DatabaseNotFound, Error, InvalidName
from raylite.policies.tokens import Scope, Token, parts_of

_SOONEST_SECONDS = 0.2


class TokenAuthorizer:
    """Learns again and again which tokens there are, and at once if it does not know one.

    fetch: all tokens; database_id: of the database of this name or id. While they cannot be fetched, those that were
    known stay valid.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Sequence[Token]]],
        database_id: Callable[[str], Awaitable[str]],
    ) -> None:
        self._fetch, self._database_id = fetch, database_id
        self._known: dict[str, Token] = {}
        self._began_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def follow(self) -> None:
        """Goes on learning until it is cancelled."""
        while True:
            await self._learn()
            await asyncio.sleep(limits.TOKENS_SECONDS)

    async def check(self, token: str, scope: Scope, database: str) -> bool:
        """See `Authorizer`; raises `Unavailable` if it cannot be told which database that is."""
        held = await self.holder(token)
        if held is None or not held.scope.includes(scope):
            return False
        return held.database_id in ("", database) or await self._is(database, held.database_id)

    async def who(self, token: str) -> str:
        """See `Authorizer`."""
        held = await self.holder(token)
        return held.name if held else ""

    async def holder(self, text: str) -> Token | None:
        """The valid token of this text."""
        parts = parts_of(text)
        if parts is None:
            return None
        token_id, secret = parts
        if token_id not in self._known:
            await self._learn()
        token = self._known.get(token_id)
        now_us = time.time_ns() // 1000
        return token if token is not None and token.proves(secret, now_us) else None

    async def _is(self, database: str, database_id: str) -> bool:
        try:
            return bool(database) and await self._database_id(database) == database_id
        except (DatabaseNotFound, InvalidName):
            return False

    async def _learn(self) -> None:
        """Fetches, unless somebody else has begun to since this was called; not too often."""
        called_at = time.monotonic()
        async with self._fetching:
            if self._began_at > called_at:
                return
            await asyncio.sleep(self._began_at + _SOONEST_SECONDS - called_at)
            self._began_at = time.monotonic()
            with contextlib.suppress(Error):
                self._known = {one.token_id: one for one in await self._fetch()}
