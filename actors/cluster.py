"""Starts or joins Ray, founds a system once, and starts its actors (docs/operations.md)."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from raylite.actors import handles
from raylite.actors.core import messages as m
from raylite.actors.founding import DataDirectory
from raylite.actors.stream import derive_key
from raylite.actors.stream_codec import decode_payload, encode_payload
from raylite.policies import limits
from raylite.policies.errors import Unreachable
from raylite.policies.placement import Site
from raylite.policies.quorum import Member, Members
from raylite.policies.regions import Regions
from raylite.policies.system import ROUTING, Settings, SystemRecord, follower_name

OBJECT_STORE_BYTES = 80_000_000
NODE_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray runs workers at niceness 15; a database that gives way to every other process has no latency to speak of.
    "RAY_worker_niceness": "0",
}
"""Of the Ray nodes that raylite starts itself, unless the user has set it."""


class ClusterFile(msgspec.Struct, frozen=True):
    """`cluster.json`: how to join the cluster that owns a data directory. pids: processes that `up` started."""

    address: str
    token: str
    pids: tuple[int, ...]
    temp_dir: str = ""


def data_directory(data_dir: str | os.PathLike[str] | None) -> Path:
    """The directory of a system's files, `~/.raylite` unless given, absolute."""
    return Path(data_dir or Path.home() / ".raylite").expanduser().resolve()


def read_cluster_file(path: Path) -> ClusterFile | None:
    """The cluster recorded for a data directory, None if there is none or it cannot be read."""
    try:
        return msgspec.json.decode((path / "cluster.json").read_bytes(), type=ClusterFile)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def write_cluster_file(path: Path, cluster: ClusterFile) -> None:
    """Records a running cluster, readable by this user only: it holds the token."""
    temporary = path / ".cluster.json"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(cluster))
    temporary.rename(path / "cluster.json")


def forget_cluster_file(path: Path) -> None:
    """The recorded cluster is gone."""
    (path / "cluster.json").unlink(missing_ok=True)


def is_listening(address: str) -> bool:
    """Whether something accepts connections at "host:port"."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, int(port))) == 0


def start_ray(address: str) -> None:
    """A Ray node in this process ("local"), or a connection to the one at `address`; raises `Unreachable`."""
    for name, value in NODE_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    options: dict[str, Any] = {"object_store_memory": OBJECT_STORE_BYTES} if address == "local" else {}
    try:
        handles.connect(address, options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise Unreachable(f"the Ray cluster at {address}", str(error).splitlines()[0]) from error


def join(cluster: ClusterFile) -> None:
    """Connects this process to a recorded cluster; raises `Unreachable`."""
    if cluster.token:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = cluster.token
        handles.reread_token()
    start_ray(cluster.address)


def leave() -> None:
    """Disconnects this process from Ray; an embedded node ends with it."""
    handles.disconnect()


def running_settings() -> Settings | None:
    """The settings of the system in the cluster that this process is connected to, None if there is none."""
    routing = handles.find(ROUTING)
    if routing is None:
        return None
    found: list[Settings] = handles.wait_for([routing.settings.remote()], "the routing actor")
    return found[0]


def start_system(
    directory: DataDirectory, virtual: Sequence[str], regions: Regions, *, wan: bool
) -> Settings:
    """Starts every actor of the system in `directory`, which it founds if there is none; waits until it is open.

    virtual: names of the regions that share a single node; empty: the nodes' labels are the regions. Raises
    `Unreachable` if an actor does not answer in time.
    """
    record = directory.record()
    key = derive_key((handles.cluster_token() or record.secret).encode(), record.system_id)
    settings = Settings(record.system_id, str(directory.path), key, regions, wan, tuple(virtual))
    nodes = list_nodes(virtual, directory)
    followers = place_followers(nodes, virtual)
    started = [handles.start_follower(one, settings) for one in followers]
    routing = handles.start_routing(settings)
    handles.wait_for([actor.endpoint.remote() for actor in started], "durability followers")
    members = directory.registry_members() or found_registry(directory, record, started, followers)
    names = tuple(virtual) or tuple(dict.fromkeys(node.region for node in nodes))
    registry = handles.start_registry(record.registry_id, members, settings, followers, names)
    handles.wait_for([registry.ready.remote(), routing.settings.remote()], "the registry")
    return settings


def found_registry(
    directory: DataDirectory, record: SystemRecord, actors: Sequence[Any], followers: Sequence[Site]
) -> Members:
    """The registry's first members: written once, before anything is founded on them."""
    chosen = list(zip(followers, actors, strict=True))[: limits.FOLLOWERS]
    joined = _ask_all([actor for _, actor in chosen], [m.Join(record.registry_id)] * len(chosen))
    incarnations = [one.incarnation for one in joined if isinstance(one, m.Joined)]
    if len(incarnations) < limits.FOLLOWERS:
        raise Unreachable("the registry's followers", f"{len(incarnations)} of {limits.FOLLOWERS} joined")
    named = zip(chosen, incarnations, strict=True)
    members = Members(tuple(Member(site.follower, incarnation) for (site, _), incarnation in named))
    directory.set_registry_members(members)
    requests = [m.Found(record.registry_id, one.incarnation, members) for one in members.current]
    _ask_all([actor for _, actor in chosen], requests)
    return members


def _ask_all(actors: Sequence[Any], messages: Sequence[m.Join | m.Found]) -> list[object]:
    calls = [actor.ask.remote(encode_payload(one)) for actor, one in zip(actors, messages, strict=True)]
    return [decode_payload(answer) for answer in handles.wait_for(calls, "durability followers")]


class NodeInfo(msgspec.Struct, frozen=True):
    """A Ray node that raylite may use. followers: indexes of the follower directories on its disk."""

    node_id: str
    region: str
    followers: tuple[int, ...] = ()


def list_nodes(virtual: Sequence[str], directory: DataDirectory) -> list[NodeInfo]:
    """The live nodes with the followers on their disks; for virtual regions the one node there is."""
    alive = handles.live_nodes()
    if virtual:
        return [NodeInfo(alive[0][0], virtual[0], directory.follower_indexes())]
    return [NodeInfo(node_id, region or "local") for node_id, region in alive]


def place_followers(nodes: Sequence[NodeInfo], virtual: Sequence[str]) -> list[Site]:
    """At least five followers, each on the node of its directory, new ones spread over nodes and regions."""
    count = max(limits.FOLLOWERS, 1 + max((index for node in nodes for index in node.followers), default=-1))
    homes = {index: node for node in nodes for index in node.followers}
    placed: list[Site] = []
    for index in range(count):
        node = homes.get(index, nodes[index % len(nodes)])
        region = virtual[index % len(virtual)] if virtual else node.region
        placed.append(Site(follower_name(index), node.node_id, region))
    return placed
