"""A client of the HTTP application over a whole system in one process, as an ASGI server would call it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, cast

import msgspec
from starlette.types import ASGIApp
from tests.services.driver import Driver
from tests.services.local_system import LocalSystem
from tests.services.test_archiving import ColdSystem

from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import DatabaseExists, DatabaseNotFound
from raylite.router.client import AsyncDatabase
from raylite.router.http.application import application
from raylite.router.http.ports import AnyoneMay, Authorizer, Scope, Target
from raylite.router.router import Router

CREATED_US = 1_700_000_000_000_000

Message = MutableMapping[str, Any]


class LocalDatabases:
    """`Databases` and `Management` of a local system: its shop, and those that are made.

    opening: what `open` waits for.
    """

    def __init__(self, system: LocalSystem) -> None:
        self._system = system
        self._entries = {"shop": _entry("shop", system.database_id, "auto")}
        self.drivers = {"shop": Driver(system)}
        self._routers: dict[str, Router] = {}
        self.opening: asyncio.Event | None = None

    async def find(self, name: str) -> Target:
        entry = await self.lookup(name)
        driver = self.drivers[entry.name]
        router = self._routers.setdefault(entry.name, Router(entry.name, "weur", driver, driver))
        return Target(router, entry.database_id)

    async def create(self, name: str, location_hint: str, replication: str) -> DatabaseEntry:
        if name in self._entries:
            raise DatabaseExists(name)
        entry = _entry(name, secrets.token_hex(16), replication, location_hint or "enam")
        await self._system.start_another(entry, lambda entry, members: None)
        self.drivers[name] = Driver(self._system, "weur", name, entry.database_id)
        self._entries[name] = entry
        return entry

    async def databases(self) -> list[DatabaseEntry]:
        return sorted(self._entries.values(), key=lambda one: one.name)

    async def lookup(self, name: str) -> DatabaseEntry:
        for entry in self._entries.values():
            if name in (entry.name, entry.database_id):
                return entry
        raise DatabaseNotFound(name)

    async def open(self, name: str) -> AsyncDatabase:
        driver = self.drivers[(await self.lookup(name)).name]
        if self.opening is not None:
            await self.opening.wait()
        return driver.database()

    async def replicate(self, name: str, replication: str) -> DatabaseEntry:
        entry = msgspec.structs.replace(await self.lookup(name), replication=replication)
        self._entries[entry.name] = entry
        return entry

    async def delete(self, name: str) -> None:
        entry = self._entries.pop((await self.lookup(name)).name)
        await self._system.end(f"primary:{entry.name}")
        await self.drivers.pop(entry.name).close()

    async def close(self) -> None:
        for driver in self.drivers.values():
            await driver.close()


class OneToken:
    """Lets the bearer of `secret` do what its scopes say, with databases that it may use."""

    def __init__(self, *scopes: Scope, databases: tuple[str, ...] = ()) -> None:
        self._scopes, self._databases = scopes, databases

    async def check(self, token: str, scope: Scope, database: str) -> bool:
        known = not self._databases or database in self._databases
        return token == "secret" and scope in self._scopes and known

    async def who(self, token: str) -> str:
        return "ada" if token == "secret" else ""


class Response(msgspec.Struct):
    """content: decoded if it is JSON, else bytes."""

    status: int
    headers: dict[str, str]
    content: Any


class Client:
    """Sends requests to the application as an ASGI server would."""

    def __init__(self, system: LocalSystem, authorizer: Authorizer) -> None:
        self.databases, self.system = LocalDatabases(system), system
        self.spool = system.directory / "spool"
        self.application = application(self.databases, authorizer, self.databases, self.spool)
        self._life = self.application.router.lifespan_context(self.application)

    async def send(self, method: str, url: str, body: object = b"", **headers: str) -> Response:
        path, _, query = url.removeprefix("http://d1").partition("?")
        given = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
        host = [] if "host" in headers else [(b"host", b"d1")]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
            "headers": [*host, *given], "server": ("d1", 80),
        }  # fmt: skip
        return await exchange(self.application, scope, _parts(body))

    async def post(self, url: str, body: object, **headers: str) -> Response:
        return await self.send("POST", url, body, **headers)

    async def begin(self) -> None:
        await self._life.__aenter__()

    async def leave(self) -> None:
        """The application's lifespan ends; again does nothing."""
        await self._life.__aexit__(None, None, None)

    async def end(self) -> None:
        await self.leave()
        await self.databases.close()


async def exchange(application: ASGIApp, scope: Message, parts: AsyncIterator[bytes]) -> Response:
    """Sends a request whose body comes in parts; the application may wait for the end of the connection, too."""
    sent: list[Message] = []
    received, ended = False, asyncio.Event()

    async def receive() -> Message:
        nonlocal received
        if received:
            await ended.wait()
            return {"type": "http.disconnect"}
        part = await anext(parts, None)
        received = part is None
        return {"type": "http.request", "body": part or b"", "more_body": not received}

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            ended.set()

    await application(scope, receive, send)
    found = {name.decode(): text.decode() for name, text in sent[0]["headers"]}
    content = b"".join(one.get("body", b"") for one in sent[1:])
    is_json = found.get("content-type", "").startswith("application/json")
    return Response(sent[0]["status"], found, msgspec.json.decode(content) if is_json else content)


async def _parts(body: object) -> AsyncIterator[bytes]:
    """What is given in parts comes so; other bytes at once, all else as JSON."""
    if isinstance(body, AsyncIterator):
        async for part in cast("AsyncIterator[bytes]", body):
            yield part
    else:
        yield body if isinstance(body, bytes) else msgspec.json.encode(body)


def served(
    directory: Path,
    case: Callable[[Client], Awaitable[None]],
    authorizer: Authorizer | None = None,
    kind: type[LocalSystem] = LocalSystem,
    database_id: str = "0123456789abcdef" * 2,
) -> None:
    """Runs a case with the application over a system that has one primary."""

    async def main() -> None:
        system = kind(directory)
        system.database_id = database_id
        if isinstance(system, ColdSystem):
            system.claim()
        await system.start()
        client = Client(system, authorizer or AnyoneMay())
        try:
            system.start_primary()
            await client.begin()
            await case(client)
        finally:
            await client.end()
            await system.stop()

    asyncio.run(main())


def _entry(name: str, database_id: str, replication: str, region: str = "enam") -> DatabaseEntry:
    return DatabaseEntry(database_id, name, None, region, (), replication, CREATED_US)
