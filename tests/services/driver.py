"""A driver of a local system: its databases as programs use them, over real connections."""

from __future__ import annotations

import asyncio

from tests.services.local_system import LocalSystem

from raylite.actors.primary import Primary
from raylite.actors.stream import Connection, Identity, connect
from raylite.policies.errors import NoReply, Unreachable
from raylite.policies.query import Answer, Failure, Query
from raylite.policies.routing import Candidate, Nearest
from raylite.policies.status import Restored, TimeSpan, Verified
from raylite.policies.system import primary_name
from raylite.policies.transfer import TransferReply, TransferRequest
from raylite.router.client import AsyncDatabase, DatabaseInfo
from raylite.router.ports import Route
from raylite.router.router import Router

PRIMARY = "primary:shop"


class Driver:
    """A `Transport`, `Directory` and `Desk` of one region, for one database. lost: answers to these never arrive.

    stuck: these wait until nobody waits for them any more.
    """

    def __init__(
        self, system: LocalSystem, region: str = "weur", name: str = "shop", database_id: str = ""
    ) -> None:
        self._system, self._region, self._name = system, region, name
        self._id = database_id or system.database_id
        self._connections: dict[str, Connection] = {}
        self.lost: set[type] = set()
        self.stuck: set[type] = set()
        self.requests: list[tuple[str, str]] = []

    def database(self) -> AsyncDatabase:
        return AsyncDatabase(Router(self._name, self._region, self, self), self._id, self)

    # Desk

    async def describe(self) -> DatabaseInfo:
        return DatabaseInfo(self._name, self._id, "enam", (), ())

    async def moment(self, time_us: int) -> str:
        return await self._primary().moment(time_us)

    async def restore(self, bookmark: str) -> Restored:
        return await self._primary().restore(bookmark)

    async def fork(self, name: str, bookmark: str) -> AsyncDatabase:
        raise NotImplementedError("there is no registry here")

    async def verify(self) -> Verified:
        return await self._primary().verify()

    async def span(self) -> TimeSpan:
        return await self._primary().span()

    def _primary(self) -> Primary:
        found = self._system.around.services[primary_name(self._name)]
        assert isinstance(found, Primary)
        return found

    async def ask(self, actor: str, query: Query, seconds: float) -> Answer | Failure:
        answer = await (await self._connection(actor)).ask(query, seconds)
        assert isinstance(answer, Answer | Failure)
        return answer

    async def request(self, actor: str, request: TransferRequest, seconds: float) -> TransferReply | None:
        self.requests.append((actor, type(request).__name__))
        if type(request) in self.stuck:
            await asyncio.sleep(seconds)
        connection = await self._connection(actor)
        reply = await connection.call(request, seconds)
        if type(request) in self.lost:
            raise NoReply(actor, "the test keeps it")
        assert reply is None or isinstance(reply, TransferReply)
        return reply

    async def route(self, name: str) -> Route:
        primary = primary_name(self._name)
        copies = [
            Candidate(one, one.rpartition(":")[2], primary=one == primary)
            for one in self._system.around.services
            if one == primary or one.startswith(f"replica:{self._name}:")
        ]
        return Route(self._id, name, primary, tuple(copies), Nearest(self._system.settings.regions))

    async def missed(self, name: str) -> None:
        """Nobody replaces anything here."""

    async def close(self) -> None:
        for one in self._connections.values():
            await one.stop()

    async def _connection(self, actor: str) -> Connection:
        held = self._connections.get(actor)
        if held is None or not held.is_open:
            try:
                endpoint = await self._system.around.endpoint(actor)
                held = await connect(
                    Identity("driver", "weur", self._system.settings.key), endpoint, _nothing
                )
            except OSError as error:
                raise Unreachable(actor, str(error)) from error
            self._connections[actor] = held
        return held


def _nothing(connection: Connection, payload: object) -> None:
    return None
