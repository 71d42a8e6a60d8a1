"""Several real Ray nodes: who is where, what a lost node costs, and that each follower finds its own journal again."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.cluster.several_nodes import NODES, SeveralNodes
from tests.cluster.writers import Writers

import raylite
from raylite.actors import handles
from raylite.policies.status import CopyCheck, Overview
from raylite.router.background import background

REGIONS = ("enam", "weur", "apac")
FOLLOWERS = [f"follower:{number}" for number in range(5)]
COPIES = ["primary:shop", *(f"replica:shop:{region}" for region in REGIONS)]


async def until(condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.2)


async def tolerates(losses: int) -> bool:
    try:
        overview: Overview = await handles.call("registry", "overview", seconds=20)
    except raylite.Error:
        return False
    return overview.tolerated_nodes == losses


async def copies_agree() -> bool:
    asked = [handles.call(actor, "check", seconds=10) for actor in COPIES]
    found = await asyncio.gather(*asked, return_exceptions=True)
    whole = [one for one in found if isinstance(one, CopyCheck) and not one.problems]
    return len(whole) == len(COPIES) and len({(one.bookmark, one.digest) for one in whole}) == 1


def everybody_is_where_it_should_be(cluster: SeveralNodes) -> bool:
    regions = [NODES.get(cluster.where(actor), "") for actor in COPIES]
    return sorted(map(cluster.where, FOLLOWERS)) == sorted(NODES) and regions == ["weur", *REGIONS]


async def everybody_is_back(cluster: SeveralNodes) -> bool:
    return await asyncio.to_thread(everybody_is_where_it_should_be, cluster)


async def status_says(cluster: SeveralNodes, tolerated: int, missing: list[str]) -> bool:
    status = await asyncio.to_thread(cluster.command, "status")
    assert isinstance(status, dict)
    return (status["tolerated_nodes"], status["missing"]) == (tolerated, missing)


async def sessions_read_near() -> None:
    """Each reads what it has just written, and before long from its own region's replica."""
    for region in REGIONS:
        await until(partial(reads_near, region), 45)


async def reads_near(region: str) -> bool:
    session = (await raylite.connect_async("shop", region=region)).with_session()
    key = secrets.randbits(60)
    await session.prepare("INSERT INTO t VALUES (100, ?)").bind(key).run()
    found = await session.prepare("SELECT count(*) AS rows FROM t WHERE n = ?").bind(key).all()
    assert found.results == [{"rows": 1}]
    return (found.meta.served_by_region, found.meta.served_by_primary) == (region, False)


async def begin() -> Writers:
    database = await raylite.connect_async("shop", create=True, location_hint="weur")
    await database.exec("CREATE TABLE t (client INTEGER, n INTEGER)")
    await sessions_read_near()
    writers = Writers(database)
    await writers.acknowledges_after(time.monotonic(), 20)
    return writers


async def end(writers: Writers) -> None:
    await writers.stop()
    await writers.check()
    await until(copies_agree, 45)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SeveralNodes]:
    made = SeveralNodes(tmp_path)
    yield made
    made.stop()


@pytest.mark.timeout(240)
def test_a_lost_node_costs_nothing_acknowledged_brings_its_journal_back_or_is_replaced(
    cluster: SeveralNodes,
) -> None:
    writers = background.run(begin())
    try:
        assert everybody_is_where_it_should_be(cluster)
        assert background.run(tolerates(2))
        journals = {cluster.where(one): one for one in FOLLOWERS}
        lost, moment = cluster.where("primary:shop"), time.monotonic()
        cluster.lose(lost)
        background.run(writers.acknowledges_after(time.monotonic(), 45))
        print(f"writes {time.monotonic() - moment:.1f} s after the primary's node was lost")
        background.run(until(partial(status_says, cluster, 1, [journals[lost]]), 45))
        assert {NODES[cluster.where("primary:shop")], NODES[lost]} == {"weur"}
        with pytest.raises(raylite.Error, match="4 of 5"):
            background.run(handles.call("registry", "create", "more", "", "enam", "auto", seconds=30))
        cluster.add(lost)
        background.run(until(lambda: tolerates(2), 45))
        print(f"all five followers {time.monotonic() - moment:.1f} s after that")
        background.run(until(partial(everybody_is_back, cluster), 45))
        a_follower_is_replaced_by_command(cluster)
        background.run(writers.acknowledges_after(time.monotonic(), 20))
    finally:
        background.run(writers.stop())
    background.run(end(writers))


def a_follower_is_replaced_by_command(cluster: SeveralNodes) -> None:
    """Its node is gone for good, and another one has come."""
    cluster.add("f")
    background.run(until(partial(runs_on, cluster, "follower:5", "f"), 45))
    lost = next(name for name in "cde" if cluster.where("primary:shop") != name)
    gone = next(one for one in FOLLOWERS if cluster.where(one) == lost)
    cluster.lose(lost)
    moment = time.monotonic()
    replaced = cluster.command("replace-follower", gone)
    print(f"{gone} was replaced {time.monotonic() - moment:.1f} s after its node was lost")
    databases = ("_registry", "shop")  # of "more" only the name is there
    assert replaced == [{"database": one, "follower": "follower:5"} for one in databases]
    background.run(until(lambda: tolerates(2), 45))
    assert cluster.command("replace-follower", gone) == []


async def runs_on(cluster: SeveralNodes, actor: str, node: str) -> bool:
    return await asyncio.to_thread(cluster.where, actor) == node


@pytest.mark.timeout(180)
def test_after_a_restart_of_all_nodes_each_follower_is_where_its_journal_is(tmp_path: Path) -> None:
    first = SeveralNodes(tmp_path, "ace")
    try:
        writers = background.run(begin())
        background.run(end(writers))
        homes = {follower: first.where(follower) for follower in FOLLOWERS}
    finally:
        first.stop()
    shutil.rmtree(first.disk("e"))
    second = SeveralNodes(tmp_path, "eca")
    try:
        found = {follower: second.where(follower) for follower in FOLLOWERS}
        assert found == {follower: "" if disk == "e" else disk for follower, disk in homes.items()}
        assert second.where("follower:5") == "e"
        background.run(all_is_there(writers))
        background.run(until(copies_agree, 45))
    finally:
        second.stop()


async def all_is_there(writers: Writers) -> None:
    """The same as `Writers.check`, in another life of the system."""
    rows = await (await raylite.connect_async("shop")).prepare("SELECT client, n FROM t").raw()
    assert writers.acknowledged <= {(client, n) for client, n in rows}
    await sessions_read_near()
