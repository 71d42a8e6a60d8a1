"""Time Travel: the bookmark of a moment, and a database made what it was."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from raylite.policies.errors import OutcomeUnknown, ParameterError, Unreachable
from raylite.policies.session import FIRST_PRIMARY
from raylite.router.client import AsyncDatabase
from raylite.router.http.endpoints import DATABASE, Endpoints
from raylite.router.http.envelope import Answered, answered
from raylite.router.http.guard import Rule
from raylite.router.http.models import Account, Moment, Name, Restored
from raylite.router.http.names import plain_name
from raylite.router.http.ports import Management, Scope
from raylite.router.moments import bookmark_in, time_us

Timestamp = Annotated[str, Query(description="A time such as 2026-01-31T12:00:00Z.")]
GivenBookmark = Annotated[str, Query(alias="bookmark", description="The state that is to be restored.")]


class TimeTravel:
    """The two endpoints."""

    def __init__(self, management: Management) -> None:
        self._management = management

    def add_to(self, endpoints: Endpoints) -> None:
        """Adds them."""
        endpoints.add(
            "GET", f"{DATABASE}/time_travel/bookmark", self.get_bookmark, Rule(Scope.READ), Answered[Moment]
        )
        restoring = Rule(Scope.ADMIN, "restore")
        endpoints.add("POST", f"{DATABASE}/time_travel/restore", self.restore, restoring, Answered[Restored])

    async def get_bookmark(self, account: Account, database: Name, timestamp: Timestamp = "") -> Response:
        """The bookmark of now, or of the newest entry that is not later than a time."""
        opened = await self._management.open(plain_name(database))
        if not timestamp:
            return answered({"bookmark": await _newest(opened)})
        time_us(timestamp)
        return answered({"bookmark": (await opened.at(timestamp)).bookmark})

    async def restore(
        self, account: Account, database: Name, given: GivenBookmark = "", timestamp: Timestamp = ""
    ) -> Response:
        """Makes the database what it was then, as one write."""
        moment = _moment(given, timestamp)
        opened = await self._management.open(plain_name(database))
        found = await opened.restore(moment)
        message = f"The database is as it was at {moment}. Restore {found.undo} to undo this."
        return answered({"bookmark": found.bookmark, "previous_bookmark": found.undo, "message": message})


def _moment(bookmark: str, timestamp: str) -> str:
    if bool(bookmark) == bool(timestamp):
        raise ParameterError("a restore needs a bookmark or a timestamp, one of both")
    if bookmark and bookmark_in(bookmark) is None:
        raise ParameterError(f"{bookmark[:80]!r} is no bookmark")
    if timestamp:
        time_us(timestamp)
    return bookmark or timestamp


async def _newest(database: AsyncDatabase) -> str:
    session = database.with_session(FIRST_PRIMARY)
    try:
        await session.prepare("SELECT 1").run()
    except OutcomeUnknown as error:
        raise Unreachable(database.name, error.reason) from error
    return session.bookmark
