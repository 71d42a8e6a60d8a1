"""Runs one request's statements through the router, in the session that its bookmark is of."""

from __future__ import annotations

from collections.abc import Sequence

from raylite.policies import limits
from raylite.policies.query import Dialect, Mode, Statement
from raylite.policies.session import PRIMARY_ONLY, SessionState, begin
from raylite.router.asking import Asked, SessionAsker
from raylite.router.http.ports import Target
from raylite.router.http.requests import Group


class Conversation:
    """One request's part in a session. constraint: its bookmark or D1's words, None if it has no session.

    Raises `BookmarkError` for a constraint that is neither.
    """

    def __init__(self, target: Target, constraint: str | None) -> None:
        self._has_session = constraint is not None
        self._asker = SessionAsker(
            target.router, target.database_id, limits.D1_REQUEST_SECONDS, _state(constraint), Dialect.D1
        )

    async def ask(self, groups: Sequence[Group]) -> Asked:
        """Runs all in one transaction, or a statement that is alone by itself; raises the query's error."""
        statements = tuple([statement for group in groups for statement in group.statements])
        mode = Mode.RUN if len(statements) == 1 and not _may_keep_rows(statements[0]) else Mode.BATCH
        return await self._asker.ask(mode, statements, None)

    @property
    def bookmark(self) -> str:
        """What the session has seen by now, errors included; "" without a session."""
        seen = self._asker.state.bookmark
        return str(seen) if self._has_session and seen else ""


def _may_keep_rows(statement: Statement) -> bool:
    """Whether it may be OR FAIL, which keeps the rows before the one that fails: in D1 nothing of it stays."""
    return "FAIL" in statement.sql.upper()


def _state(constraint: str | None) -> SessionState:
    if constraint is None:
        return PRIMARY_ONLY
    return begin(constraint.strip()) if constraint.strip() else begin()
