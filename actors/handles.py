"""The actors of the system on Ray: how each is started, what it knows of its surroundings, and calls by name."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ray as _ray
from ray.exceptions import RayActorError, RayError

from raylite.actors import nodes
from raylite.actors.core import messages as m
from raylite.actors.first_answer import first_answer
from raylite.actors.follower import Follower
from raylite.actors.follower_survey import followers_of
from raylite.actors.ports import Survey, Whereabouts
from raylite.actors.primary import Primary
from raylite.actors.ray_actors import actor as actor_of
from raylite.actors.ray_actors import in_region, off_node, on_node
from raylite.actors.ray_calls import asked, cause_of, find, kill_named, set_gauge
from raylite.actors.registrar import CalledRegistrar, Registrar
from raylite.actors.registry import Registry
from raylite.actors.replica import Replica, ReplicaConfig
from raylite.actors.revival import replace_if_hung
from raylite.actors.routing import Routing
from raylite.actors.spare import keep_spare
from raylite.actors.stream import Endpoint
from raylite.actors.stream_codec import decode_payload, encode_payload
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry, RoutingTable
from raylite.policies.errors import Error, Unreachable
from raylite.policies.quorum import Member, Members
from raylite.policies.status import ActorStatus
from raylite.policies.system import (
    NAMESPACE,
    REGISTRY,
    REGISTRY_DATABASE,
    ROUTING,
    Node,
    PrimaryConfig,
    RegistryPlan,
    Settings,
    Site,
    copy_directory,
    follower_number,
    primary_name,
    replica_name,
)  # fmt: skip

ray: Any = _ray  # Ray leaves parts of its API untyped


async def call(actor: str, method: str, *arguments: object, seconds: float = limits.CALL_SECONDS) -> Any:
    """What a method of a named actor returns; raises its `Error`, or `Unreachable`.

    The method may have run when it raises `Unreachable`. A registry that hangs is replaced meanwhile.
    """
    try:
        async with asyncio.timeout(seconds):
            handle = await asyncio.to_thread(_found, actor)
            reply = getattr(handle, method).remote(*arguments)
            return await (_unless_it_hangs(handle, reply) if actor == REGISTRY else reply)
    except (ValueError, RayActorError) as error:
        raise Unreachable(actor, f"no such actor answers ({type(error).__name__})") from error
    except TimeoutError as error:
        raise Unreachable(actor, f"no answer to {method} within {seconds:g} s") from error
    except RayError as error:
        raise cause_of(error, actor) from error


def _found(actor: str) -> Any:
    """The actor of this name. A registry that somebody ended, and then could not start anew, is started."""
    try:
        return ray.get_actor(actor, namespace=NAMESPACE)
    except ValueError:
        plan = nodes.recall() if actor == REGISTRY else None
        if plan is None:
            raise
        return start_registry(plan)


async def _unless_it_hangs(registry: Any, reply: Any) -> Any:
    """The registry's reply; raises `Unreachable` once this very registry was found to hang, and replaced."""
    waiting = asyncio.ensure_future(reply)
    try:
        while not (await asyncio.wait([waiting], timeout=limits.REGISTRY_WAIT_SECONDS))[0]:
            if await asyncio.shield(_revival(registry)):
                raise Unreachable(REGISTRY, "it said nothing, and another one was started; ask that")
        return waiting.result()
    finally:
        waiting.cancel()


_revivals: set[asyncio.Task[bool]] = set()


def _revival(registry: Any) -> asyncio.Task[bool]:
    """Goes on when whoever began it gives up waiting: it must not end half-way."""
    task = asyncio.get_running_loop().create_task(_revive(registry))
    _revivals.add(task)
    task.add_done_callback(_revivals.discard)
    return task


async def _revive(registry: Any) -> bool:
    plan = await asyncio.to_thread(nodes.recall)
    if plan is None:
        return False

    async def inspect(member: Member) -> object:
        request = encode_payload(m.Inspect(plan.record.registry_id))
        return decode_payload(await call(member.follower, "ask", request))

    suspect = nodes.Process(registry, partial(start_registry, plan))
    return await replace_if_hung(suspect, plan.members, inspect, limits.LEASE_SECONDS)


class RaySurroundings:
    """The cluster around an actor or a driver."""

    async def endpoint(self, actor: str) -> Endpoint:
        """Where the actor of this name listens now; raises `Unreachable`."""
        return await first_answer(partial(call, actor, "endpoint", seconds=limits.CONNECT_SECONDS), actor)

    def host(self) -> str:
        """The address of this node that other nodes reach."""
        return str(ray.util.get_node_ip_address())

    async def report_missing(self, database: str) -> None:
        """Tell the registry that this database's primary is missed; does not raise."""
        with contextlib.suppress(Error):
            await call(REGISTRY, "report_missing", database)

    async def report_silent(self, database_ids: Sequence[str]) -> Sequence[str]:
        """See `Surroundings.report_silent`."""
        try:
            unknown: Sequence[str] = await call(REGISTRY, "report_silent", tuple(database_ids))
        except Error:
            return ()
        return unknown

    @property
    def registrar(self) -> Registrar:
        """See `Surroundings.registrar`."""
        return CalledRegistrar(call)

    async def keep_spare(self, mark: Path) -> None:
        """See `Surroundings.keep_spare`."""
        await keep_spare(mark, partial(asked, nodes.run_in_new_worker))

    def gauge(self, name: str, value: float, **tags: str) -> None:
        """See `Surroundings.gauge`."""
        set_gauge(name, value, tags)

    def leave(self) -> None:
        """End this actor for good: the one exit that Ray does not restart is taken inside one of its own calls."""
        ray.get_runtime_context().current_actor.leave.remote()

    def exit(self) -> None:
        """What `leave` comes to, inside the actor's own method."""
        ray.actor.exit_actor()

    def crash(self, error: BaseException) -> None:
        """End this process at once, with the error in its log; Ray restarts it."""
        traceback.print_exception(error, file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)


class RayCluster:
    """Starts and ends actors by name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def start_primary(self, config: PrimaryConfig, avoid: str = "", *, strictly: bool = False) -> None:
        """See `Cluster.start_primary`."""
        options = in_region(config.region, self._settings, avoid, strictly=strictly)
        actor = actor_of(Primary, primary_name(config.database), options)
        await asked(actor.remote, config, self._settings, RaySurroundings())

    async def start_replica(
        self, entry: DatabaseEntry, region: str, avoid: str = "", *, strictly: bool = False
    ) -> None:
        """See `Cluster.start_replica`."""
        directory = self.directory(entry.database_id, f"replica-{region}")
        config = ReplicaConfig(entry.database_id, entry.name, region, directory)
        options = in_region(region, self._settings, avoid, strictly=strictly)
        actor = actor_of(Replica, replica_name(entry.name, region), options)
        await asked(actor.remote, config, self._settings, RaySurroundings())

    async def wait_for(self, actor: str, seconds: float) -> None:
        """See `Cluster.wait_for`."""
        await call(actor, "up", seconds=seconds)

    async def kill(self, actor: str) -> None:
        """See `Cluster.kill`."""
        await asked(kill_named, actor)

    async def whereabouts(self, actor: str) -> Whereabouts:
        """See `Cluster.whereabouts`."""
        handle = await asked(find, actor)
        if handle is None:
            return Whereabouts()
        return Whereabouts(await asked(nodes.node_of, handle), not await asked(nodes.is_running, handle))

    async def status(self, actor: str) -> ActorStatus:
        """See `Cluster.status`."""
        found: ActorStatus = await call(actor, "status", seconds=limits.REGISTRY_SECONDS)
        return found

    async def settle(self, actor: str) -> bool:
        """See `Cluster.settle`."""
        return bool(await call(actor, "settle", seconds=limits.SETTLE_SECONDS + limits.CALL_SECONDS))

    async def publish(self, table: RoutingTable) -> None:
        """See `Cluster.publish`."""
        await asked(start_routing)
        await call(ROUTING, "publish", table)

    async def published(self) -> int:
        """See `Cluster.published`."""
        return int(await call(ROUTING, "published", seconds=limits.REGISTRY_SECONDS))

    async def replace_routing(self) -> None:
        """See `Cluster.replace_routing`."""
        node = (await self.whereabouts(ROUTING)).node
        await self.kill(ROUTING)
        await asked(start_routing, node)

    async def nodes(self) -> list[Node]:
        """See `Cluster.nodes`."""
        return await asked(nodes.live_nodes)

    async def survey(self, sites: Sequence[Site], *, spare: bool) -> Survey:
        """See `Cluster.survey`."""
        start = partial(start_follower, settings=self._settings)
        return await asked(partial(followers_of, spare=spare), tuple(sites), self._settings, start)

    async def note_registry_members(self, members: Members) -> None:
        """See `Cluster.note_registry_members`."""
        await asked(nodes.remember_members, members)

    def directory(self, database_id: str, role: str) -> str:
        """See `Cluster.directory`."""
        return copy_directory(database_id, role)


def start_follower(site: Site, settings: Settings) -> Any:
    """A follower actor on the node that has, or gets, its directory; on no other."""
    directory = os.path.join("followers", str(follower_number(site.follower)))
    actor = actor_of(Follower, site.follower, on_node(site.node))
    return actor.remote(site.follower, site.region, directory, settings, RaySurroundings())


def start_registry(plan: RegistryPlan, avoid: str = "") -> Any:
    """The registry actor, the one that lives if one does. avoid: a node where it should not be, if there is another."""
    cluster = RayCluster(plan.settings)
    registry_id = plan.record.registry_id
    directory = cluster.directory(registry_id, "primary")
    config = PrimaryConfig(registry_id, REGISTRY_DATABASE, plan.members, plan.sites[0].region, directory)
    actor = actor_of(Registry, REGISTRY, off_node(avoid))
    return actor.remote(config, plan.settings, RaySurroundings(), cluster, plan.sites, plan.record.rebuilt)


def start_routing(avoid: str = "") -> Any:
    """The routing actor, as `start_registry`."""
    return actor_of(Routing, ROUTING, off_node(avoid)).remote(RayStatuses())


class RayStatuses(RaySurroundings):
    """What the routing actor needs of the cluster."""

    async def status(self, actor: str) -> ActorStatus:
        """See `Statuses.status`."""
        found: ActorStatus = await call(actor, "status", seconds=limits.STATUS_SECONDS)
        return found

    async def report_lost(self, actor: str) -> None:
        """See `Statuses.report_lost`."""
        with contextlib.suppress(Error):
            await call(REGISTRY, "report_lost", actor)

    async def keep_policy(self, policy: bytes) -> None:
        """See `Statuses.keep_policy`."""
        await asked(nodes.keep_policy, policy)

    async def kept_policy(self) -> bytes:
        """See `Statuses.kept_policy`."""
        return await asked(nodes.kept_policy)
