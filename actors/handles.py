"""Ray, in one place: every actor's class and options, and every call that travels as Ray's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import ray as _ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raylite.actors import nodes, survey
from raylite.actors.core import messages as m
from raylite.actors.follower import Follower
from raylite.actors.nodes import NODE_LABEL, REGION_LABEL
from raylite.actors.ports import Survey, Whereabouts
from raylite.actors.primary import Primary, PrimaryConfig
from raylite.actors.registry import Registry
from raylite.actors.replica import Replica, ReplicaConfig
from raylite.actors.revival import replace_if_hung
from raylite.actors.routing import Routing
from raylite.actors.stream import Endpoint, Payload, from_failure
from raylite.actors.stream_codec import decode_payload, encode_payload
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry, RoutingTable
from raylite.policies.errors import Error, NoReply, Unreachable
from raylite.policies.query import Answer, Failure, Query
from raylite.policies.quorum import Member
from raylite.policies.status import ActorStatus
from raylite.policies.system import (
    NAMESPACE,
    REGISTRY,
    REGISTRY_DATABASE,
    ROUTING,
    Node,
    RegistryPlan,
    Settings,
    Site,
    follower_number,
    primary_name,
    replica_name,
)  # fmt: skip
from raylite.policies.transfer import TransferReply, TransferRequest

ray: Any = _ray  # Ray leaves parts of its API untyped

T = TypeVar("T")

_OPTIONS: dict[str, Any] = {
    "namespace": NAMESPACE,
    "lifetime": "detached",
    "get_if_exists": True,
    "max_restarts": -1,
    "max_task_retries": 0,
    "num_cpus": 0,
    "max_concurrency": 1000,
}
"""Of every actor: found by name, alive beyond its driver, restarted by Ray; no call is repeated by itself."""


def find(actor: str) -> Any:
    """The actor of this name, None if there is none."""
    try:
        return ray.get_actor(actor, namespace=NAMESPACE)
    except ValueError:
        return None


def wait_for(calls: Sequence[Any], what: str) -> list[Any]:
    """The results of these calls; raises `Unreachable` if they take longer than an actor's start may."""
    try:
        return list(ray.get(list(calls), timeout=limits.START_SECONDS))
    except GetTimeoutError as error:
        raise Unreachable(what, f"no answer within {limits.START_SECONDS:g} s of their start") from error
    except RayError as error:
        raise _cause(error, what) from error


def wait_until_up(calls: Sequence[Any]) -> int:
    """How many of these calls are answered before an actor's start takes too long; raises nothing for the others."""
    done, _ = ray.wait(list(calls), num_returns=len(calls), timeout=limits.START_SECONDS)
    answered = 0
    for one in done:
        with contextlib.suppress(RayError):
            ray.get(one)
            answered += 1
    return answered


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
        raise _cause(error, actor) from error


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


def _cause(error: RayError, actor: str) -> Error:
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Error) else Unreachable(actor, str(error).splitlines()[-1])


async def ask(actor: str, query: Query, seconds: float) -> Answer | Failure:
    """A query as Ray's own call; raises `Unreachable` (not sent), or `NoReply` (may have been received)."""
    answer = await _carried(actor, query, seconds)
    assert isinstance(answer, Answer | Failure), "a query is answered by nothing else"
    return answer


async def request(actor: str, request: TransferRequest, seconds: float) -> TransferReply | None:
    """As `ask`, for one step of an export or import; raises the actor's error."""
    reply = await _carried(actor, request, seconds)
    if isinstance(reply, Failure):
        raise from_failure(reply)
    assert reply is None or isinstance(reply, TransferReply), "a transfer is answered by nothing else"
    return reply


async def _carried(actor: str, payload: Payload, seconds: float) -> Payload | None:
    try:
        handle = await asyncio.to_thread(ray.get_actor, actor, namespace=NAMESPACE)
    except ValueError as error:
        raise Unreachable(actor, "there is no such actor") from error
    try:
        async with asyncio.timeout(seconds):
            answer: bytes = await handle.ask.remote(encode_payload(payload))
    except (RayError, TimeoutError) as error:
        raise NoReply(actor, type(error).__name__) from error
    return decode_payload(answer) if answer else None


class RaySurroundings:
    """The cluster around an actor or a driver."""

    async def endpoint(self, actor: str) -> Endpoint:
        """Where the actor of this name listens now; raises `Unreachable`."""
        found: Endpoint = await call(actor, "endpoint", seconds=limits.CONNECT_SECONDS)
        return found

    def host(self) -> str:
        """The address of this node that other nodes reach."""
        address: str = ray.util.get_node_ip_address()
        return address

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
        options = _placed(config.region, self._settings, avoid, strictly=strictly)
        actor = _actor(Primary, primary_name(config.database), options)
        await _asked(actor.remote, config, self._settings, RaySurroundings())

    async def start_replica(
        self, entry: DatabaseEntry, region: str, avoid: str = "", *, strictly: bool = False
    ) -> None:
        """See `Cluster.start_replica`."""
        directory = self.directory(entry.database_id, f"replica-{region}")
        config = ReplicaConfig(entry.database_id, entry.name, region, directory)
        options = _placed(region, self._settings, avoid, strictly=strictly)
        actor = _actor(Replica, replica_name(entry.name, region), options)
        await _asked(actor.remote, config, self._settings, RaySurroundings())

    async def wait_for(self, actor: str, seconds: float) -> None:
        """See `Cluster.wait_for`."""
        await call(actor, "endpoint", seconds=seconds)

    async def kill(self, actor: str) -> None:
        """See `Cluster.kill`."""
        await _asked(_kill, actor)

    async def whereabouts(self, actor: str) -> Whereabouts:
        """See `Cluster.whereabouts`."""
        return await _asked(_whereabouts, actor)

    async def status(self, actor: str) -> ActorStatus:
        """See `Cluster.status`."""
        found: ActorStatus = await call(actor, "status", seconds=limits.REGISTRY_SECONDS)
        return found

    async def publish(self, table: RoutingTable) -> None:
        """See `Cluster.publish`."""
        await _asked(start_routing, self._settings)
        await call(ROUTING, "publish", table)

    async def published(self) -> int:
        """See `Cluster.published`."""
        version: int = await call(ROUTING, "published", seconds=limits.REGISTRY_SECONDS)
        return version

    async def replace_routing(self) -> None:
        """See `Cluster.replace_routing`."""
        node = (await self.whereabouts(ROUTING)).node
        await self.kill(ROUTING)
        await _asked(start_routing, self._settings, node)

    async def nodes(self) -> list[Node]:
        """See `Cluster.nodes`."""
        return await _asked(nodes.live_nodes)

    async def survey(self, sites: Sequence[Site], *, spare: bool) -> Survey:
        """See `Cluster.survey`."""
        return await _asked(partial(_survey, spare=spare), tuple(sites), self._settings)

    def directory(self, database_id: str, role: str) -> str:
        """See `Cluster.directory`."""
        return os.path.join("databases", database_id, role)


async def _asked(work: Callable[..., T], *arguments: object) -> T:
    """What `work` asks of Ray, off the event loop; raises an `Error` if Ray's head does not answer."""
    try:
        async with asyncio.timeout(limits.START_SECONDS):
            return await asyncio.to_thread(work, *arguments)
    except (RayError, RuntimeError, TimeoutError) as error:
        raise Unreachable("Ray", f"{type(error).__name__} {error}".strip()) from error


def _kill(actor: str) -> None:
    handle = find(actor)
    if handle is not None:
        ray.kill(handle, no_restart=True)


def _whereabouts(actor: str) -> Whereabouts:
    handle = find(actor)
    if handle is None:
        return Whereabouts()
    return Whereabouts(nodes.node_of(handle), not nodes.is_running(handle))


def _survey(sites: Sequence[Site], settings: Settings, *, spare: bool) -> Survey:
    """Starts the followers that are on the nodes' disks and not among `sites`, and new ones where there are too few."""
    plan = nodes.recall()
    assert plan is not None, "a registry is started with a plan"
    found, problems = survey.without_foreign(
        nodes.holdings(nodes.live_nodes(), settings.data_dir), plan.record
    )
    there = [node for node in nodes.live_nodes() if node.id in found]
    placed = survey.place(there, found, sites, settings.virtual, spare=spare)
    following = survey.next_number(found, (*sites, *placed))
    nodes.keep(there, settings.data_dir, plan.record, plan.members, following)
    for site in placed:
        if site not in sites:
            _move_follower(site, settings)
    names = {site.follower for site in placed}
    everybody = (*placed, *(site for site in sites if site.follower not in names))
    nodes.remember(RegistryPlan(plan.record, plan.members, everybody, settings))
    return Survey(everybody, problems)


def _move_follower(site: Site, settings: Settings) -> None:
    """Starts a follower where its journal is; a process of an earlier life of that node may still count as running."""
    running = find(site.follower)
    if running is not None and nodes.node_of(running) not in ("", site.node):
        ray.kill(running, no_restart=True)
    start_follower(site, settings)


def start_follower(site: Site, settings: Settings) -> Any:
    """A follower actor on the node that has, or gets, its directory; on no other."""
    directory = os.path.join("followers", str(follower_number(site.follower)))
    affinity = NodeAffinitySchedulingStrategy(site.node, soft=False)
    actor = _actor(Follower, site.follower, {"scheduling_strategy": affinity})
    return actor.remote(site.follower, site.region, directory, settings, RaySurroundings())


def start_registry(plan: RegistryPlan, avoid: str = "") -> Any:
    """The registry actor, the one that lives if one does. avoid: a node where it should not be, if there is another."""
    cluster = RayCluster(plan.settings)
    registry_id = plan.record.registry_id
    directory = cluster.directory(registry_id, "primary")
    config = PrimaryConfig(registry_id, REGISTRY_DATABASE, plan.members, plan.sites[0].region, directory)
    actor = _actor(Registry, REGISTRY, _selected([_other_than(avoid), {}] if avoid else []))
    return actor.remote(config, plan.settings, RaySurroundings(), cluster, plan.sites)


def start_routing(settings: Settings, avoid: str = "") -> Any:
    """The routing actor, as `start_registry`."""
    actor = _actor(Routing, ROUTING, _selected([_other_than(avoid), {}] if avoid else []))
    return actor.remote(settings, RayStatuses())


class RayStatuses(RaySurroundings):
    """Asks actors how they are."""

    async def status(self, actor: str) -> ActorStatus:
        """See `Statuses.status`."""
        found: ActorStatus = await call(actor, "status", seconds=limits.STATUS_SECONDS)
        return found

    async def report_lost(self, actor: str) -> None:
        """See `Statuses.report_lost`."""
        with contextlib.suppress(Error):
            await call(REGISTRY, "report_lost", actor)


def _actor(kind: type, name: str, options: dict[str, Any]) -> Any:
    return ray.remote(kind).options(name=name, **_OPTIONS, **options)


def _placed(region: str, settings: Settings, avoid: str, *, strictly: bool) -> dict[str, Any]:
    """In that region if a node has its label; virtual regions share their node. avoid: see `Cluster.start_primary`."""
    if settings.virtual:
        return {}
    here: dict[str, str] = {REGION_LABEL: region}
    if not avoid:
        return _selected([here, {}])
    elsewhere = _other_than(avoid)
    return _selected([here | elsewhere, elsewhere if strictly else here, {}])


def _other_than(node: str) -> dict[str, str]:
    return {NODE_LABEL: f"!{node}"}


def _selected(wishes: Sequence[dict[str, str]]) -> dict[str, Any]:
    """The first of these label selectors that some node meets; an actor for which there is none would wait for ever."""
    if not wishes:
        return {}
    return {
        "label_selector": wishes[0],
        "fallback_strategy": [{"label_selector": wish} for wish in wishes[1:]],
    }
