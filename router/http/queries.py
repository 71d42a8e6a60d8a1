"""`query` and `raw`: statements for a database, in one transaction, one result each."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Header
from starlette.responses import Response

from raylite.policies.errors import Error
from raylite.router.http.answers import ROWS_AND_COLUMNS, entries
from raylite.router.http.asking import Conversation
from raylite.router.http.counts import Counts
from raylite.router.http.endpoints import DATABASE, Endpoints
from raylite.router.http.envelope import Answered, answered, failed
from raylite.router.http.guard import Rule
from raylite.router.http.models import Account, Batch, Name, QueryResult, RawResult, Sql
from raylite.router.http.names import plain_name
from raylite.router.http.ports import Databases, Scope
from raylite.router.http.requests import Entry, Group, groups_of

BOOKMARK: Final = "x-d1-bookmark"

Session = Annotated[
    str | None,
    Header(
        alias=BOOKMARK,
        description="Asks in a session: a bookmark that is to be seen, first-primary or first-unconstrained. "
        "The answer has its bookmark. Without this header the primary answers.",
    ),
]


class Queries:
    """The two endpoints."""

    def __init__(self, databases: Databases, counts: Counts) -> None:
        self._databases, self._counts = databases, counts

    def add_to(self, endpoints: Endpoints) -> None:
        """Adds them."""
        rule = Rule(Scope.WRITE)
        endpoints.add("POST", f"{DATABASE}/query", self.query, rule, Answered[list[QueryResult]])
        endpoints.add("POST", f"{DATABASE}/raw", self.raw, rule, Answered[list[RawResult]])

    async def query(
        self, account: Account, database: Name, body: Sql | Batch, session: Session = None
    ) -> Response:
        """Runs statements in one transaction; rows as objects."""
        return await self._run(database, body, session, "")

    async def raw(
        self, account: Account, database: Name, body: Sql | Batch, session: Session = None
    ) -> Response:
        """Runs statements in one transaction; rows as arrays."""
        return await self._run(database, body, session, ROWS_AND_COLUMNS)

    async def _run(self, database: str, body: Sql | Batch, session: str | None, form: str) -> Response:
        target = await self._databases.find(plain_name(database))
        groups = _singly(body)
        conversation = Conversation(target, session)
        try:
            asked = await conversation.ask(groups)
        except Error as error:
            return failed(error, _headers(conversation))
        statements = [one.statements[0] for one in groups]
        self._counts.add(target.database_id, statements, asked.answer.results)
        return answered(entries(asked, groups, form), _headers(conversation))


def _singly(body: Sql | Batch) -> list[Group]:
    """Each statement by itself; raises `Refused`."""
    sent = body.batch if isinstance(body, Batch) else [body]
    groups = groups_of([Entry(one.sql, one.params) for one in sent])
    return [Group((statement,)) for group in groups for statement in group.statements]


def _headers(conversation: Conversation) -> dict[str, str]:
    return {BOOKMARK: conversation.bookmark} if conversation.bookmark else {}
