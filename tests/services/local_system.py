"""A whole system in one process, without Ray: real services, sockets, journals and database files."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from raylite.actors.core import messages as m
from raylite.actors.core.base import Base
from raylite.actors.follower import Follower
from raylite.actors.primary import Primary
from raylite.actors.registrar import Registrar
from raylite.actors.replica import Replica, ReplicaConfig
from raylite.actors.service import Service
from raylite.actors.storage.files import Files
from raylite.actors.stream import Connection, Endpoint, Identity, connect, from_failure
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import Error, Unreachable
from raylite.policies.query import Answer, Failure, Mode, Query, Statement, Value
from raylite.policies.quorum import Member, Members
from raylite.policies.regions import Regions
from raylite.policies.system import PrimaryConfig, Settings, copy_directory

REGIONS = ("enam", "weur", "apac")


class LocalSurroundings:
    """Finds services by name in a dictionary; a crash or an exit is noted."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.crashes: list[BaseException] = []
        self.left: list[str] = []
        self.missing: list[str] = []
        self.gone: set[str] = set()
        self.members: dict[str, Members] = {}
        self.resting: list[str] = []
        self.gauges: dict[tuple[str, str], float] = {}

    async def endpoint(self, actor: str) -> Endpoint:
        if actor not in self.services:
            raise Unreachable(actor, "there is no such service")
        return await self.services[actor].endpoint()

    def host(self) -> str:
        return "127.0.0.1"

    async def report_missing(self, database: str) -> None:
        self.missing.append(database)

    async def report_silent(self, database_ids: Sequence[str]) -> Sequence[str]:
        self.missing += database_ids
        return [one for one in database_ids if one in self.gone]

    async def keep_spare(self, mark: Path) -> None:
        """Without Ray there is none."""

    @property
    def registrar(self) -> Registrar:
        return LocalRegistrar(self)

    def gauge(self, name: str, value: float, **tags: str) -> None:
        self.gauges[name, tags["actor"]] = value

    def leave(self) -> None:
        self.left.append("left")

    def exit(self) -> None:
        self.left.append("exited")

    def crash(self, error: BaseException) -> None:
        self.crashes.append(error)


class LocalRegistrar:
    """Chooses any follower that is there, and notes members."""

    def __init__(self, around: LocalSurroundings) -> None:
        self._around = around

    async def substitute(self, database_id: str, beside: Sequence[str], without: Sequence[str]) -> str:
        names = [name for name in self._around.services if name.startswith("follower:")]
        return next((name for name in names if name not in (*beside, *without)), "")

    async def note_members(self, database_id: str, members: Members) -> None:
        self._around.members[database_id] = members

    async def members_of(self, database_id: str) -> Members | None:
        return self._around.members.get(database_id)

    async def rest(self, database_id: str) -> bool:
        self._around.resting.append(database_id)
        return False


class LocalSystem:
    """Five followers, and the primary and replicas of one database named `shop`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.around = LocalSurroundings()
        self.settings = Settings("system", str(directory), secrets.token_bytes(32), Regions())
        self.database_id = "0123456789abcdef"
        self.members = Members(())
        self._connections: dict[str, Connection] = {}

    async def start(self) -> None:
        for index in range(5):
            self.start_follower(index)
        self.members = await self._found(self.database_id, lambda members: None)

    async def _found(self, database_id: str, base: Callable[[Members], Base | None]) -> Members:
        joined = [await self._ask(f"follower:{index}", m.Join(database_id)) for index in range(5)]
        named = enumerate(joined)
        members = Members(
            tuple(Member(f"follower:{i}", one.incarnation) for i, one in named if isinstance(one, m.Joined))
        )
        for one in members.current:
            await self._ask(one.follower, m.Found(database_id, one.incarnation, members, base(members)))
        return members

    async def start_another(
        self, entry: DatabaseEntry, base: Callable[[DatabaseEntry, Members], Base | None]
    ) -> Primary:
        """The primary of one more database, with a log of its own on the same followers."""
        members = await self._found(entry.database_id, partial(base, entry))
        directory = copy_directory(entry.database_id, "primary")
        config = PrimaryConfig(entry.database_id, entry.name, members, "enam", directory)
        primary = Primary(config, self.settings, self.around)
        self.around.services[primary.name] = primary
        self.forget_connections()
        return primary

    def start_follower(self, index: int, files: Files | None = None) -> Follower:
        directory = str(self.directory / f"follower-{index}")
        follower = Follower(
            f"follower:{index}", REGIONS[index % 3], directory, self.settings, self.around, files
        )
        self.around.services[follower.name] = follower
        return follower

    def start_primary(self, directory: str = "primary") -> Primary:
        config = PrimaryConfig(
            self.database_id, "shop", self.members, "enam", str(self.directory / directory)
        )
        primary = Primary(config, self.settings, self.around)
        self.around.services[primary.name] = primary
        return primary

    def start_replica(self, region: str) -> Replica:
        config = ReplicaConfig(self.database_id, "shop", region, str(self.directory / f"replica-{region}"))
        replica = Replica(config, self.settings, self.around)
        self.around.services[replica.name] = replica
        return replica

    async def query(
        self, actor: str, sql: str, *params: Value, bookmark: str = "", mode: Mode = Mode.RUN,
        seconds: float = 10.0, more: tuple[str, ...] = (), at: str = "", database_id: str = "",
        key: bytes = b"", repeated: bool = False,
    ) -> Answer:  # fmt: skip
        statements = (Statement(sql, params), *map(Statement, more))
        query = Query(
            database_id or self.database_id, mode, statements, bookmark, seconds, at=at, key=key, repeated=repeated
        )  # fmt: skip
        answer = await self._ask(actor, query)
        if isinstance(answer, Failure):
            raise from_failure(answer)
        assert isinstance(answer, Answer)
        return answer

    async def ask_follower(self, index: int, message: m.ToFollower) -> object:
        """The first answer, or error, of a follower, once it can be reached."""
        async with asyncio.timeout(10):
            while True:
                try:
                    connection = await self._connection(f"follower:{index}")
                    break
                except (Unreachable, OSError):
                    await asyncio.sleep(0.02)
        return await connection.call(message, 10)

    async def ask_once(self, actor: str, sql: str) -> object:
        """The first answer, or error, to a query."""
        query = Query(self.database_id, Mode.RUN, (Statement(sql, ()),), "", 5.0)
        answer = await (await self._connection(actor)).call(query, 10)
        if isinstance(answer, Failure):
            raise from_failure(answer)
        return answer

    async def _ask(self, actor: str, message: m.ToFollower | Query) -> object:
        """Asks until the actor is there and open, for ten seconds, or as long as the query has if that is longer."""
        seconds = max(10.0, message.seconds) if isinstance(message, Query) else 10.0
        async with asyncio.timeout(seconds):
            while True:
                try:
                    return await (await self._connection(actor)).call(message, seconds)
                except Unreachable:
                    await asyncio.sleep(0.02)
                except Error as error:
                    if type(error).__name__ != "NotPrimary":
                        raise
                    await asyncio.sleep(0.02)

    async def _connection(self, actor: str) -> Connection:
        held = self._connections.get(actor)
        if held is None or not held.is_open:
            identity = Identity("driver", "enam", self.settings.key)
            endpoint = await self.around.endpoint(actor)
            held = self._connections[actor] = await connect(
                identity, endpoint, lambda connection, payload: None
            )
        return held

    def forget_connections(self) -> None:
        """Dial anew whoever has a name now."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    async def end(self, name: str) -> None:
        """Stop one service; its name is free then."""
        await self.around.services.pop(name).stop()

    async def stop(self) -> None:
        for connection in self._connections.values():
            await connection.stop()
        for service in reversed(list(self.around.services.values())):
            await service.stop()
        assert not self.around.crashes, self.around.crashes
