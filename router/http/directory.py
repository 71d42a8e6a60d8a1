"""Databases are made, listed, shown, changed and removed."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import InvalidName, NotAllowed, ParameterError
from raylite.policies.names import region_name
from raylite.router.http.endpoints import DATABASE, DATABASES, Endpoints
from raylite.router.http.envelope import Answered, answered
from raylite.router.http.guard import Rule
from raylite.router.http.models import (
    Account,
    Database,
    DatabaseSummary,
    Name,
    NewDatabase,
    PageInfo,
    PartialUpdate,
    Update,
)
from raylite.router.http.names import new_name, plain_name, uuid_of
from raylite.router.http.ports import Management, Scope
from raylite.router.moments import as_text

_TABLES: Final = (
    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
)
_MEASURED: Final = frozenset({"num_tables", "file_size"})

Page = Annotated[int, Query(ge=1, le=1_000_000)]
PerPage = Annotated[int, Query(ge=1, le=limits.HTTP_PAGE_MOST)]
Fields = Annotated[
    str, Query(description="Names of the fields wanted, with commas between them; all if empty.")
]


class DatabaseList(Answered[list[DatabaseSummary]]):
    """A page of databases, empty past the end."""

    result_info: PageInfo


class Directory:
    """The endpoints."""

    def __init__(self, management: Management) -> None:
        self._management = management

    def add_to(self, endpoints: Endpoints) -> None:
        """Adds them."""
        shown, seen = Answered[Database], Rule(Scope.READ)
        updated = Rule(Scope.ADMIN, "update")
        endpoints.add("GET", DATABASES, self.list_databases, seen, DatabaseList)
        endpoints.add("POST", DATABASES, self.create_database, Rule(Scope.ADMIN, "create"), shown)
        endpoints.add("GET", DATABASE, self.get_database, seen, shown)
        endpoints.add("PUT", DATABASE, self.update_database, updated, shown)
        endpoints.add("PATCH", DATABASE, self.edit_database, updated, shown)
        endpoints.add("DELETE", DATABASE, self.delete_database, Rule(Scope.ADMIN, "delete"), Answered[None])

    async def list_databases(
        self, account: Account, page: Page = 1, per_page: PerPage = limits.HTTP_PAGE, name: str = ""
    ) -> Response:
        """Lists databases by name; name: a part of it."""
        found = [one for one in await self._management.databases() if name in one.name]
        begin = (page - 1) * per_page
        shown = [_summary(one) for one in found[begin : begin + per_page]]
        info = {"count": len(shown), "page": page, "per_page": per_page, "total_count": len(found)}
        return answered(shown, result_info=info)

    async def create_database(self, request: Request, account: Account, body: NewDatabase) -> Response:
        """Makes a database."""
        request.state.database = body.name
        if body.jurisdiction is not None:
            instead = "Leave it out, and name the region of the primary with primary_location_hint."
            raise NotAllowed(f"jurisdiction {body.jurisdiction!r}", instead)
        hint = _region(body.primary_location_hint)
        mode = body.read_replication.mode if body.read_replication else "auto"
        made = await self._management.create(new_name(body.name), hint, mode)
        return answered({**_summary(made), "created_in_region": made.region.upper()})

    async def get_database(self, account: Account, database: Name, fields: Fields = "") -> Response:
        """Shows a database, by name or uuid; it is asked itself if num_tables or file_size are wanted."""
        entry = await self._management.lookup(plain_name(database))
        return answered(await self._shown(entry, {one.strip() for one in fields.split(",") if one.strip()}))

    async def update_database(self, account: Account, database: Name, body: Update) -> Response:
        """Changes where a database has replicas."""
        return await self._replicate(database, body.read_replication.mode)

    async def edit_database(self, account: Account, database: Name, body: PartialUpdate) -> Response:
        """Changes what is given."""
        mode = body.read_replication.mode if body.read_replication else ""
        return await self._replicate(database, mode)

    async def delete_database(self, account: Account, database: Name) -> Response:
        """Removes a database for good."""
        await self._management.delete(plain_name(database))
        return answered(None)

    async def _replicate(self, database: str, mode: str) -> Response:
        name = plain_name(database)
        if mode:
            return answered(_summary(await self._management.replicate(name, mode)))
        return answered(_summary(await self._management.lookup(name)))

    async def _shown(self, entry: DatabaseEntry, fields: set[str]) -> dict[str, Any]:
        found = _summary(entry)
        if not fields or fields & _MEASURED:
            database = await self._management.open(entry.database_id)
            counted = await database.prepare(_TABLES).all()
            found["num_tables"] = counted.results[0]["count(*)"]
            found["file_size"] = counted.meta.size_after
        return {key: value for key, value in found.items() if key in fields} if fields else found


def _summary(entry: DatabaseEntry) -> dict[str, Any]:
    return {
        "uuid": uuid_of(entry.database_id),
        "name": entry.name,
        "version": "production",
        "created_at": as_text(entry.created_us),
        "running_in_region": entry.region.upper(),
        "read_replication": {"mode": "disabled" if entry.replication == "disabled" else "auto"},
    }


def _region(hint: str | None) -> str:
    if not hint:
        return ""
    try:
        return region_name(hint.lower())
    except InvalidName as error:
        raise ParameterError(str(error).removesuffix(".")) from error
