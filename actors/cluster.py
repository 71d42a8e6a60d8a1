"""Starts or joins Ray, founds a system once, and starts its actors (docs/operations.md)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from raylite.actors import handles, joining, nodes, ray_calls, recovery, survey
from raylite.actors.cold import marker
from raylite.actors.cold.folder import open_store
from raylite.actors.cold.marker import Marker
from raylite.actors.cold.rebuild import rebuilt_base
from raylite.actors.core import messages as m
from raylite.actors.founding import DataDirectory, Holding
from raylite.actors.service import node_directory
from raylite.actors.stream import derive_key
from raylite.actors.stream_codec import decode_payload, encode_payload
from raylite.policies import limits
from raylite.policies.errors import Unreachable
from raylite.policies.placement import choose_followers
from raylite.policies.quorum import Member, Members
from raylite.policies.rebuilt import Recovery
from raylite.policies.regions import Regions
from raylite.policies.system import REGISTRY, Node, RegistryPlan, Settings, Site, SystemRecord

OBJECT_STORE_BYTES = 80_000_000
COLD_OFF = "off"
NODE_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray runs workers at niceness 15; a database that gives way to every other process has no latency to speak of.
    "RAY_worker_niceness": "0",
    # Otherwise a node that is to end first waits for its actors to leave by themselves, which detached ones never do.
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
}
"""Of the Ray nodes that raylite starts itself, unless the user has set it."""


class ClusterFile(msgspec.Struct, frozen=True):
    """`cluster.json`: how to join the cluster that owns a data directory. pids: processes that `up` started."""

    address: str
    token: str
    pids: tuple[int, ...]
    temp_dir: str = ""


def data_directory(data_dir: str | os.PathLike[str] | None) -> Path:
    """The directory of a system's files: as given, else this node's (`RAYLITE_DATA`), else `~/.raylite`. Absolute."""
    return Path(data_dir or node_directory("~/.raylite")).expanduser().resolve()


def read_cluster_file(path: Path) -> ClusterFile | None:
    """The cluster recorded for a data directory, None if there is none or it cannot be read."""
    try:
        return msgspec.json.decode((path / "cluster.json").read_bytes(), type=ClusterFile)
    except (FileNotFoundError, ValueError, RecursionError):
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
    """Whether something accepts connections at "host:port"; nothing does at what is no such address, as "auto"."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return False
    try:
        with socket.create_connection((host, int(port)), timeout=1.0):
            return True
    except OSError:
        return False


def start_ray(address: str) -> None:
    """A Ray node in this process ("local"), or a connection to the one at `address`; raises `Unreachable`."""
    for name, value in NODE_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    options: dict[str, Any] = {"object_store_memory": OBJECT_STORE_BYTES} if address == "local" else {}
    try:
        joining.connect(address, options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise Unreachable(f"the Ray cluster at {address}", str(error).splitlines()[0]) from error


def join(cluster: ClusterFile) -> None:
    """Connects this process to a recorded cluster; raises `Unreachable`."""
    if cluster.token:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = cluster.token
        joining.reread_token()
    start_ray(cluster.address)


def leave() -> None:
    """Disconnects this process from Ray; an embedded node ends with it."""
    joining.disconnect()


def running_settings() -> Settings | None:
    """The settings of the system in the cluster that this process is connected to, None if there is none."""
    plan = nodes.recall()
    return plan.settings if plan else None


def start_system(
    directory: DataDirectory,
    virtual: Sequence[str],
    regions: Regions,
    *,
    wan: bool,
    cold: str = "",
    hibernate_seconds: float = limits.HIBERNATE_SECONDS,
    patience: float = 0.0,
) -> Settings:
    """Starts every actor of the system in `directory`, which it founds if there is none; waits until it is open.

    Each follower starts on the node that has its journal. virtual: names of the regions that share this process'
    node; empty: the nodes' labels are the regions; cold: see `cold_address`; patience: seconds for which it is asked
    again whether the registry is open. Raises `Unreachable` if that does not open in time, `ForeignDirectory` if a
    disk has another system's files, `Corrupt` if two have one follower's.
    """
    there, held = _disks(directory, virtual)
    record = directory.record(held.values())
    key = derive_key((joining.cluster_token() or record.secret).encode(), record.system_id)
    address = cold_address(directory, record, cold)
    settings = Settings(
        record.system_id, str(directory.path), key, regions, wan, tuple(virtual), address, hibernate_seconds
    )
    sites = survey.place(there, held, (), virtual)
    members = directory.registry_members()
    _keep([] if virtual else there, directory, record, members, survey.next_number(held, sites))
    started = {site.follower: handles.start_follower(site, settings) for site in sites}
    routing = handles.start_routing()
    ray_calls.wait_until_up([actor.endpoint.remote() for actor in started.values()])
    if members is None:
        if record.rebuilt is not None:
            recovery.take_over(record, address)
        members = _found_registry([] if virtual else there, directory, record, settings, sites, started)
    plan = RegistryPlan(record, members, sites, settings)
    nodes.remember(plan)
    registry = handles.start_registry(plan)
    _wait_until_open(registry, patience)
    ray_calls.wait_for([routing.pid.remote()], "the routing actor")
    return settings


def _wait_until_open(registry: Any, patience: float) -> None:
    end = time.monotonic() + patience
    while True:
        try:
            ray_calls.wait_for([registry.ready.remote()], "the registry")
        except Unreachable:
            if time.monotonic() >= end:
                raise
        else:
            return


def recover_system(
    directory: DataDirectory,
    virtual: Sequence[str],
    regions: Regions,
    *,
    wan: bool,
    cold: str,
    discarded: str,
) -> Settings:
    """Starts a system that goes on with what cold storage holds of one of which nothing else is left.

    discarded: what the nodes have of the system of this id is moved aside first. Raises `NotAllowed` if they have
    anything else, and as `start_system` and `recovery.begin`.
    """
    there, held = _disks(directory, virtual)
    if discarded:
        directory.set_aside(discarded)
        nodes.set_aside([] if virtual else there, str(directory.path), discarded)
        there, held = _disks(directory, virtual)
    recovery.begin(directory, _place(directory, cold), held.values())
    patience = limits.RECOVERY_SECONDS
    return start_system(directory, virtual, regions, wan=wan, cold=cold, patience=patience)


def recovered(settings: Settings) -> tuple[Recovery, list[str]]:
    """What was rebuilt, and the ids of databases that cold storage has and the rebuilt catalogue does not name."""
    registry = ray_calls.find(REGISTRY)
    found: list[Recovery] = ray_calls.wait_for([registry.recovered.remote()], "the registry")
    return found[0], recovery.unnamed(settings.cold, found[0].known)


def cold_address(directory: DataDirectory, record: SystemRecord, given: str) -> str:
    """Where cold storage is from here on: as given, else as before, else in the data directory; "" if it is off.

    given: a folder that every node sees, an `s3://`, `gs://` or `az://` URL, or "off". A new place is marked as this
    system's. Raises `ParameterError`, `ForeignDirectory` if it is another's, and what the store raises.
    """
    address = _place(directory, given)
    if address != directory.cold():
        if address != COLD_OFF:
            marker.claim(open_store(address), Marker(record.system_id, record.registry_id))
        directory.set_cold(address)
    return "" if address == COLD_OFF else address


def _place(directory: DataDirectory, given: str) -> str:
    return _absolute(given) or directory.cold() or str(directory.path / "cold")


def _absolute(address: str) -> str:
    return (
        address
        if address in ("", COLD_OFF) or "://" in address
        else str(Path(address).expanduser().resolve())
    )


def _disks(directory: DataDirectory, virtual: Sequence[str]) -> tuple[list[Node], dict[str, Holding]]:
    """The nodes that say what is on their disks, and what that is; with virtual regions, this node alone."""
    own = directory.holding()
    if virtual:
        return [Node(nodes.own_node(), virtual[0])], {nodes.own_node(): own}
    alive = nodes.live_nodes()
    held = nodes.holdings(alive, str(directory.path))
    # This directory need not be the one that this node's actors use, but it knows which numbers were used.
    return [one for one in alive if one.id in held], held | {"": msgspec.structs.replace(own, journals=())}


def _keep(
    there: Sequence[Node],
    directory: DataDirectory,
    record: SystemRecord,
    members: Members | None,
    following: int,
) -> None:
    """Copies of what must not be lost, on every node; before anything is founded on it."""
    directory.keep(record, members, following)
    kept = nodes.keep(there, str(directory.path), record, members, following)
    if kept < len(there):
        raise Unreachable("the cluster's nodes", f"{kept} of {len(there)} have stored the system's record")


def _found_registry(
    there: Sequence[Node],
    directory: DataDirectory,
    record: SystemRecord,
    settings: Settings,
    sites: Sequence[Site],
    actors: Mapping[str, Any],
) -> Members:
    """The registry's first members: written once, on every node, before anything is founded on them."""
    chosen = choose_followers(record.registry_id, sites, sites[0].region, settings.regions)
    joined = _ask_all([actors[one] for one in chosen], [m.Join(record.registry_id)] * len(chosen))
    named = [
        Member(follower, one.incarnation)
        for follower, one in zip(chosen, joined, strict=True)
        if isinstance(one, m.Joined)
    ]
    if len(named) < limits.FOLLOWERS:
        raise Unreachable("the registry's followers", f"{len(named)} of {limits.FOLLOWERS} joined")
    members = Members(tuple(named))
    directory.set_registry_members(members)
    _keep(there, directory, record, members, 0)
    base = rebuilt_base(record.rebuilt, members) if record.rebuilt else None
    requests = [m.Found(record.registry_id, one.incarnation, members, base) for one in named]
    _ask_all([actors[one] for one in chosen], requests)
    return members


def _ask_all(actors: Sequence[Any], messages: Sequence[m.Join | m.Found]) -> list[object]:
    calls = [actor.ask.remote(encode_payload(one)) for actor, one in zip(actors, messages, strict=True)]
    return [decode_payload(answer) for answer in ray_calls.wait_for(calls, "durability followers")]
