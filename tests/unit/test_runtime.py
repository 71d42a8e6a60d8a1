"""What a driver knows of who serves which database, and what it says while it does not know that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from raylite.actors import handles
from raylite.policies.catalogue import Placement, RouteEntry, RoutingTable
from raylite.policies.errors import DatabaseNotFound, Unreachable
from raylite.policies.regions import Regions
from raylite.policies.system import Settings
from raylite.router.runtime import Runtime

ROUTE = RouteEntry("c01dc01d", "shop", Placement("primary:shop", "weur"), ())


class Cluster:
    """Registry and routing actor. exists: that database; told: the routing actor knows who serves it."""

    def __init__(self) -> None:
        self.exists, self.told, self.wakes = True, False, 0

    async def call(self, actor: str, method: str, *arguments: object, seconds: float = 0.0) -> object:
        if method == "watch":
            if arguments != (0,):
                await asyncio.sleep(60)
            return RoutingTable(1, {"shop": ROUTE} if self.told else {})
        assert (actor, method, arguments) == ("registry", "wake", ("shop",))
        self.wakes += 1
        if not self.exists:
            raise DatabaseNotFound("shop")
        return None


def run(monkeypatch: pytest.MonkeyPatch, case: Callable[[Cluster, Runtime], Awaitable[None]]) -> None:
    cluster = Cluster()
    monkeypatch.setattr(handles, "call", cluster.call)

    async def main() -> None:
        runtime = Runtime(Settings("system", "", b"", Regions()))
        try:
            await case(cluster, runtime)
        finally:
            await runtime.close()

    asyncio.run(main())


def test_what_was_woken_and_is_in_no_table_yet_is_not_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def case(cluster: Cluster, runtime: Runtime) -> None:
        with pytest.raises(Unreachable, match=r"primary:shop .* does not know of it yet"):
            await runtime.entry("shop")
        cluster.told = True
        assert await runtime.entry("shop") == ROUTE
        assert cluster.wakes == 1

    run(monkeypatch, case)


def test_what_the_registry_does_not_know_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def case(cluster: Cluster, runtime: Runtime) -> None:
        cluster.exists = False
        with pytest.raises(DatabaseNotFound):
            await runtime.entry("shop")

    run(monkeypatch, case)
