"""The two questions that `wrangler d1 info` and `insights` ask in GraphQL, answered from what was counted here.

No GraphQL is understood beyond them: `limit` and `orderBy` are looked for in the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from raylite.policies import limits
from raylite.policies.errors import Error, ParameterError
from raylite.router.http.counts import Counted, Counts
from raylite.router.http.endpoints import Endpoints
from raylite.router.http.envelope import printable
from raylite.router.http.guard import Guard, Rule
from raylite.router.http.models import GraphqlAnswer, GraphqlBody
from raylite.router.http.names import plain_name
from raylite.router.http.ports import Management, Scope
from raylite.router.moments import time_us

_QUERIES: Final = "d1QueriesAdaptiveGroups"
_HOURS: Final = "d1AnalyticsAdaptiveGroups"
_LIMIT: Final = re.compile(r"\blimit:\s*(\d{1,9})")
_ORDER: Final = re.compile(
    r"\borderBy:\s*\[\s*(?:(sum|avg)_(queryDurationMs|rowsRead|rowsWritten|rowsReturned)|(count))_(ASC|DESC)"
)
_FIELDS: Final = {
    "queryDurationMs": "duration_ms",
    "rowsRead": "rows_read",
    "rowsWritten": "rows_written",
    "rowsReturned": "rows_returned",
}


class Filter(msgspec.Struct, frozen=True):
    """Of which database and hours; times as seconds since 1970."""

    database: str
    first: float
    last: float


class Graphql:
    """The endpoint."""

    def __init__(self, management: Management, guard: Guard, counts: Counts) -> None:
        self._management, self._guard, self._counts = management, guard, counts

    def add_to(self, endpoints: Endpoints) -> None:
        """Adds it."""
        rule = Rule(None, most=limits.HTTP_GRAPHQL_BYTES)
        endpoints.add("POST", "/graphql", self.graphql, rule, GraphqlAnswer)

    async def graphql(self, request: Request, body: GraphqlBody) -> Response:
        """What queries have run by way of this gateway since its start."""
        try:
            wanted = _filter(body.variables)
            await self._guard.admit(request, Scope.READ, wanted.database)
            entry = await self._management.lookup(wanted.database)
            groups = self._groups(body.query, msgspec.structs.replace(wanted, database=entry.database_id))
        except Error as error:
            return _json({"data": None, "errors": [{"message": printable(str(error))}]})
        return _json({"data": {"viewer": {"accounts": [groups]}}, "errors": None})

    def _groups(self, query: str, wanted: Filter) -> dict[str, list[dict[str, object]]]:
        if _QUERIES in query:
            found = self._counts.by_text(wanted.database, wanted.first, wanted.last)
            return {_QUERIES: _ordered([_of_text(text, one) for text, one in found.items()], query)}
        if _HOURS in query:
            hours = self._counts.by_hour(wanted.database, wanted.first, wanted.last)
            return {_HOURS: [_of_hour(hour, one) for hour, one in sorted(hours.items())]}
        raise ParameterError(f"only {_QUERIES} and {_HOURS} can be asked for")


def _filter(variables: Mapping[str, Any]) -> Filter:
    try:
        found = variables["filter"]["AND"][0]
        first, last = (time_us(str(found[f"datetimeHour_{end}"])) / 1_000_000 for end in ("geq", "leq"))
        return Filter(plain_name(str(found["databaseId"])), first, last)
    except (KeyError, IndexError, TypeError) as error:
        named = "filter.AND[0] needs databaseId, datetimeHour_geq and datetimeHour_leq"
        raise ParameterError(f"the variables do not say what is wanted: {named}") from error


def _ordered(groups: list[dict[str, Any]], query: str) -> list[dict[str, Any]]:
    """As `orderBy` and `limit` in the text say; by duration, and all, if they do not."""
    order, most = _ORDER.search(query), _LIMIT.search(query)
    kind, field, count, way = order.groups() if order else ("sum", "queryDurationMs", None, "DESC")
    ordered = sorted(
        groups, key=lambda one: one["count"] if count else one[kind][field], reverse=way == "DESC"
    )
    return ordered[: int(most[1])] if most else ordered


def _of_text(text: str, counted: Counted) -> dict[str, object]:
    sums = {name: getattr(counted, field) for name, field in _FIELDS.items()}
    averages = {name: value / counted.runs for name, value in sums.items()}
    return {"sum": sums, "avg": averages, "count": counted.runs, "dimensions": {"query": text}}


def _of_hour(hour: int, counted: Counted) -> dict[str, object]:
    sums = {
        "readQueries": counted.runs - counted.writes,
        "writeQueries": counted.writes,
        "rowsRead": counted.rows_read,
        "rowsWritten": counted.rows_written,
    }
    begin = datetime.fromtimestamp(hour, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"sum": sums, "dimensions": {"datetimeHour": begin}}


def _json(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")
