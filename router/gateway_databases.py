"""The databases of a running system, as the HTTP API asks for them."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Generator

from raylite.actors import handles
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import OutcomeUnknown, Unreachable
from raylite.policies.system import REGISTRY
from raylite.router.client import AsyncDatabase
from raylite.router.http.ports import Target
from raylite.router.router import Router
from raylite.router.runtime import Runtime


class GatewayDatabases:
    """`Databases` and `Management` of one event loop, asked from one region.

    A database that is awake is found without the registry, which is so on no query's path.
    """

    def __init__(self, runtime: Runtime, region: str) -> None:
        self._runtime, self._region = runtime, region
        self._caller = runtime.caller(region)
        self._routers: OrderedDict[str, Router] = OrderedDict()

    # Databases

    async def find(self, name: str) -> Target:
        """See `Databases`."""
        known = self._runtime.known(name) or await self.lookup(name)
        return Target(self._router(known.name), known.database_id)

    async def database_id(self, name: str) -> str:
        """The id of the database of this id, or name; raises `DatabaseNotFound`, or `Unreachable`."""
        return (self._runtime.known(name) or await self.lookup(name)).database_id

    def _router(self, name: str) -> Router:
        """One for each of the databases asked for last: it remembers which texts read."""
        router = self._routers.pop(name, None) or Router(name, self._region, self._caller, self._caller)
        self._routers[name] = router
        if len(self._routers) > limits.HTTP_ROUTERS:
            self._routers.popitem(last=False)
        return router

    # Management

    async def create(self, name: str, location_hint: str, replication: str) -> DatabaseEntry:
        """See `Management`."""
        seconds = limits.START_SECONDS
        with changing(name):
            return await _registry("create", name, location_hint, self._region, replication, seconds=seconds)

    async def databases(self) -> list[DatabaseEntry]:
        """See `Management`."""
        found: list[DatabaseEntry] = await handles.call(REGISTRY, "databases")
        return found

    async def lookup(self, name: str) -> DatabaseEntry:
        """See `Management`."""
        return await _registry("lookup", name)

    async def open(self, name: str) -> AsyncDatabase:
        """See `Management`."""
        return await self._runtime.open(await self.lookup(name), self._region)

    async def replicate(self, name: str, replication: str) -> DatabaseEntry:
        """See `Management`."""
        known = await self.lookup(name)
        with changing(known.name):
            return await _registry("replicate", known.name, replication, seconds=limits.START_SECONDS)

    async def delete(self, name: str) -> None:
        """See `Management`."""
        known = await self.lookup(name)
        with changing(known.name):
            await handles.call(REGISTRY, "delete", known.name, known.database_id)


@contextlib.contextmanager
def changing(name: str) -> Generator[None]:
    """Around a call that changes this database: without an answer nobody can say whether it did."""
    try:
        yield
    except Unreachable as error:
        raise OutcomeUnknown(name, error.reason) from error


async def _registry(method: str, *arguments: object, seconds: float = limits.CALL_SECONDS) -> DatabaseEntry:
    entry: DatabaseEntry = await handles.call(REGISTRY, method, *arguments, seconds=seconds)
    return entry
