"""Ray, in one place: every actor's class and options, and every call that travels as Ray's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray as _ray
from ray import _raylet
from ray.exceptions import GetTimeoutError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raylite.actors.follower import Follower
from raylite.actors.primary import Primary, PrimaryConfig
from raylite.actors.registry import Registry
from raylite.actors.replica import Replica, ReplicaConfig
from raylite.actors.routing import Routing
from raylite.actors.stream import Endpoint
from raylite.actors.stream_codec import decode_payload, encode_payload
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry, RoutingTable
from raylite.policies.errors import Error, NoReply, Unreachable
from raylite.policies.placement import Site
from raylite.policies.query import Answer, Failure, Query
from raylite.policies.quorum import Members
from raylite.policies.system import (
    NAMESPACE,
    REGISTRY,
    REGISTRY_DATABASE,
    ROUTING,
    Settings,
    primary_name,
    replica_name,
)  # fmt: skip

ray: Any = _ray  # Ray leaves parts of its API untyped
REGION_LABEL = "ray.io/availability-region"

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


def connect(address: str, options: dict[str, Any]) -> None:
    """Starts a Ray node here ("local") or joins the one at `address`; raises what Ray raises."""
    ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, configure_logging=False, **options)


def is_connected() -> bool:
    """Whether this process is connected to Ray, by whomever."""
    return bool(ray.is_initialized())


def disconnect() -> None:
    """Leaves Ray; a node that was started here ends with it."""
    ray.shutdown()


def address() -> str:
    """Where others can join the cluster that this process is connected to."""
    return str(ray.get_runtime_context().gcs_address)


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


async def call(actor: str, method: str, *arguments: object, seconds: float = limits.CALL_SECONDS) -> Any:
    """What a method of a named actor returns; raises its `Error`, or `Unreachable`.

    The method may have run when it raises `Unreachable`.
    """
    try:
        async with asyncio.timeout(seconds):
            handle = await asyncio.to_thread(ray.get_actor, actor, namespace=NAMESPACE)
            return await getattr(handle, method).remote(*arguments)
    except (ValueError, RayActorError) as error:
        raise Unreachable(actor, f"no such actor answers ({type(error).__name__})") from error
    except TimeoutError as error:
        raise Unreachable(actor, f"no answer to {method} within {seconds:g} s") from error
    except RayError as error:
        raise _cause(error, actor) from error


def _cause(error: RayError, actor: str) -> Error:
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Error) else Unreachable(actor, str(error).splitlines()[-1])


async def ask(actor: str, query: Query, seconds: float) -> Answer | Failure:
    """A query as Ray's own call; raises `Unreachable` (not sent), or `NoReply` (may have been received)."""
    try:
        handle = await asyncio.to_thread(ray.get_actor, actor, namespace=NAMESPACE)
    except ValueError as error:
        raise Unreachable(actor, "there is no such actor") from error
    try:
        async with asyncio.timeout(seconds):
            answer = decode_payload(await handle.ask.remote(encode_payload(query)))
    except (RayError, TimeoutError) as error:
        raise NoReply(actor, type(error).__name__) from error
    assert isinstance(answer, Answer | Failure), "a query is answered by nothing else"
    return answer


def live_nodes() -> list[tuple[str, str]]:
    """(node id, its region's label or "") of the nodes that are alive."""
    nodes: list[dict[str, Any]] = ray.nodes()
    return [(one["NodeID"], one.get("Labels", {}).get(REGION_LABEL, "")) for one in nodes if one["Alive"]]


def own_region_label() -> str:
    """The region label of this process' node, "" if it has none."""
    labels: dict[str, str] = ray.get_runtime_context().get_node_labels()
    return labels.get(REGION_LABEL, "")


def reread_token() -> None:
    """Ray reads its authentication mode and token once; this makes it look at the environment again."""
    private: Any = _raylet
    private.Config.initialize("")
    private.AuthenticationTokenLoader.instance().reset_cache()


def cluster_token() -> str:
    """The Ray cluster's token, "" if it has none. The one use of this private class of Ray's."""
    loader: Any = getattr(_raylet, "AuthenticationTokenLoader", None)
    if loader is not None:
        return str(loader.instance().get_raw_token(ignore_auth_mode=True) or "")
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", Path.home() / ".ray" / "auth_token"))
    return os.environ.get("RAY_AUTH_TOKEN") or (path.read_text().strip() if path.is_file() else "")


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

    async def start_primary(self, config: PrimaryConfig) -> None:
        """Start a primary unless one of that name lives."""
        options = _placed(config.region, self._settings)
        actor = _actor(Primary, primary_name(config.database), options)
        await _created(actor.remote(config, self._settings, RaySurroundings()))

    async def start_replica(self, entry: DatabaseEntry, region: str) -> None:
        """Start a replica unless one of that name lives."""
        directory = self.directory(entry.database_id, f"replica-{region}")
        config = ReplicaConfig(entry.database_id, entry.name, region, directory)
        actor = _actor(Replica, replica_name(entry.name, region), _placed(region, self._settings))
        await _created(actor.remote(config, self._settings, RaySurroundings()))

    async def kill(self, actor: str) -> None:
        """End the actor of this name for good, if there is one; its name is free then."""
        try:
            handle = await asyncio.to_thread(ray.get_actor, actor, namespace=NAMESPACE)
        except ValueError:
            return
        ray.kill(handle, no_restart=True)

    async def publish(self, table: RoutingTable) -> None:
        """Hand a new routing table to the routing actor, started anew if it is gone."""
        actor = start_routing(self._settings)
        await actor.publish.remote(table)

    def directory(self, database_id: str, role: str) -> str:
        """Where a primary or replica keeps its files."""
        return os.path.join(self._settings.data_dir, "databases", database_id, role)


def start_follower(site: Site, settings: Settings) -> Any:
    """A follower actor on the node that has, or gets, its directory; on no other."""
    directory = os.path.join(settings.data_dir, "followers", site.follower.rpartition(":")[2])
    affinity = NodeAffinitySchedulingStrategy(site.node, soft=False)
    actor = _actor(Follower, site.follower, {"scheduling_strategy": affinity})
    return actor.remote(site.follower, site.region, directory, settings, RaySurroundings())


def start_registry(
    registry_id: str,
    members: Members,
    settings: Settings,
    followers: Sequence[Site],
    regions: Sequence[str],
) -> Any:
    """The registry actor."""
    cluster = RayCluster(settings)
    directory = cluster.directory(registry_id, "primary")
    config = PrimaryConfig(registry_id, REGISTRY_DATABASE, members, regions[0], directory)
    actor = _actor(Registry, REGISTRY, {})
    return actor.remote(config, settings, RaySurroundings(), cluster, tuple(followers), tuple(regions))


def start_routing(settings: Settings) -> Any:
    """The routing actor."""
    return _actor(Routing, ROUTING, {}).remote(settings)


def _actor(kind: type, name: str, options: dict[str, Any]) -> Any:
    return ray.remote(kind).options(name=name, **_OPTIONS, **options)


def _placed(region: str, settings: Settings) -> dict[str, Any]:
    """In that region if a node has its label; virtual regions share their node."""
    if settings.virtual:
        return {}
    return {"label_selector": {REGION_LABEL: region}, "fallback_strategy": [{"label_selector": {}}]}


async def _created(handle: Any) -> None:
    """Waits until the actor answers, so that a failure to start is seen by whoever wanted it."""
    async with asyncio.timeout(limits.START_SECONDS):
        await handle.endpoint.remote()
