"""Cloudflare's REST API for D1, under `/client/v4`; docs/compatibility.md says where it differs."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter

from raylite.router.http.counts import Counts
from raylite.router.http.directory import Directory
from raylite.router.http.endpoints import Endpoints
from raylite.router.http.exports import Exports
from raylite.router.http.graphql import Graphql
from raylite.router.http.guard import Guard
from raylite.router.http.imports import Imports
from raylite.router.http.ports import Authorizer, Databases, Management
from raylite.router.http.queries import Queries
from raylite.router.http.spool import Spool
from raylite.router.http.time_travel import TimeTravel


class Rest:
    """All its endpoints, on one event loop."""

    def __init__(
        self,
        databases: Databases,
        authorizer: Authorizer,
        management: Management,
        counts: Counts,
        folder: Path,
    ) -> None:
        guard, self._spool = Guard(authorizer), Spool(folder)
        self._exports = Exports(management, guard, self._spool)
        self._imports = Imports(management, guard, self._spool)
        endpoints = Endpoints(guard)
        Directory(management).add_to(endpoints)
        Queries(databases, counts).add_to(endpoints)
        TimeTravel(management).add_to(endpoints)
        self._exports.add_to(endpoints)
        self._imports.add_to(endpoints)
        Graphql(management, guard, counts).add_to(endpoints)
        self.router: APIRouter = endpoints.router

    async def close(self) -> None:
        """Ends exports and imports, and removes their files."""
        self._exports.close()
        self._imports.close()
        await self._spool.close()
