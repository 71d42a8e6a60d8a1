"""`raylite.init`, `connect` and `connect_async`: how a process gets at a system."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from weakref import WeakKeyDictionary

import cloudpickle

from raylite.actors import cluster, handles, joining
from raylite.actors.founding import DataDirectory
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import DatabaseExists, DatabaseNotFound, NoQuorum, Unreachable
from raylite.policies.regions import DEFAULT, Given, parse
from raylite.policies.routing import RoutingPolicy
from raylite.policies.system import REGISTRY, ROUTING, Settings, checked_hibernation
from raylite.router.background import background
from raylite.router.client import AsyncDatabase
from raylite.router.runtime import Runtime, own_region
from raylite.router.sync import Database


class _Process:
    """This process' membership in a system. owned: the data directory of an embedded one."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.settings: Settings | None = None
        self.owned: DataDirectory | None = None
        self.started_ray = False
        self.runtimes: WeakKeyDictionary[asyncio.AbstractEventLoop, Runtime] = WeakKeyDictionary()


_process = _Process()


def init(
    address: str | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    regions: Given | None = None,
    wan: bool = False,
    cold: str = "",
    hibernate: float = limits.HIBERNATE_SECONDS,
) -> None:
    """Joins a running system, or starts one; does nothing if this process is in one already.

    address: a Ray cluster's, else in turn: Ray as this process has initialised it, `RAY_ADDRESS`, the cluster
    recorded in `data_dir` if it lives, a Ray node in this process. regions: names, or names with (latitude,
    longitude), that an embedded node shall have; wan: delay messages between them by realistic round trips; cold: a
    folder that all nodes see or a URL (`s3://`, `gs://`, `az://`) for cold storage, "off" for none; the same as before
    unless given, at first a folder in `data_dir`; hibernate: seconds until a database that nobody uses has no processes
    any more, 0 for never. These say how a system is started, not what one joins.
    Raises `Unreachable` or `Unauthorized`, `InvalidName` for regions, `ParameterError` for cold storage or seconds.
    """
    with _process.lock, ExitStack() as undo:
        if _process.settings is not None:
            return
        path, seconds = cluster.data_directory(data_dir), checked_hibernation(hibernate)
        names, places = parse(regions if regions is not None else DEFAULT)
        embedded = _enter_ray(address, path)
        undo.callback(shutdown)
        virtual = names if embedded or regions is not None else ()
        start = partial(
            cluster.start_system,
            virtual=virtual,
            regions=places,
            wan=wan,
            cold=cold,
            hibernate_seconds=seconds,
        )
        _process.settings = cluster.running_settings() or _start(path, start)
        undo.pop_all()


def join_running(data_dir: str | os.PathLike[str] | None = None) -> None:
    """Joins the system that runs for this data directory, or in `RAY_ADDRESS`; raises `Unreachable` if none does."""
    path = cluster.data_directory(data_dir)
    recorded = cluster.read_cluster_file(path)
    lives = recorded is not None and cluster.is_listening(recorded.address)
    if not lives and "RAY_ADDRESS" not in os.environ:
        raise Unreachable(f"the system of {path}", "it is not running; start it with `raylite up`")
    init(data_dir=path)


def shutdown() -> None:
    """Leaves the system; an embedded one ends. Data stays."""
    with _process.lock:
        for loop, runtime in list(_process.runtimes.items()):
            if loop is background.running:
                background.run(runtime.close())
        _process.runtimes.clear()
        _process.settings = None
        if _process.started_ray:
            cluster.leave()
            _process.started_ray = False
        if _process.owned is not None:
            cluster.forget_cluster_file(_process.owned.path)
            _process.owned.disown()
            _process.owned = None


def connect(
    name: str, *, create: bool = False, region: str | None = None, location_hint: str | None = None
) -> Database:
    """The database of this name; joins or starts a system first if need be.

    create: make it if it does not exist, its primary near `location_hint` (else near here); region: where to call
    from, this node's unless given. Raises `DatabaseNotFound`, `InvalidName` or `Unreachable`.
    """
    work = connect_async(name, create=create, region=region, location_hint=location_hint)
    init()
    return Database(background.run(work))


async def connect_async(
    name: str, *, create: bool = False, region: str | None = None, location_hint: str | None = None
) -> AsyncDatabase:
    """As `connect`, for use on the event loop that awaits it."""
    joined = await asyncio.to_thread(settings)
    here = region or own_region(joined)
    runtime = await _runtime(joined)
    entry = await _find(name, create=create, hint=location_hint or "", near=here)
    return await runtime.open(entry, here)


async def create_database(name: str, *, location_hint: str = "", replication: str = "auto") -> DatabaseEntry:
    """Makes a database; raises `DatabaseExists`, `InvalidName` or `Unreachable`."""
    joined = await asyncio.to_thread(settings)
    entry: DatabaseEntry = await handles.call(
        REGISTRY,
        "create",
        name,
        location_hint,
        own_region(joined),
        replication,
        seconds=limits.START_SECONDS,
    )
    return entry


def set_routing_policy(policy: RoutingPolicy | None) -> None:
    """Hands a routing policy of one's own to every router of the system; None: the default again."""
    init()
    pickled = b"" if policy is None else cloudpickle.dumps(policy)
    background.run(handles.call(ROUTING, "set_policy", pickled))


async def _find(name: str, *, create: bool, hint: str, near: str) -> DatabaseEntry:
    try:
        return await _ask_registry("lookup", name)
    except DatabaseNotFound:
        if not create:
            raise
    try:
        return await _ask_registry("create", name, hint, near, "auto")
    except DatabaseExists:  # somebody else made it meanwhile, or an attempt whose answer was lost
        return await _ask_registry("lookup", name)


async def _ask_registry(method: str, *arguments: str) -> DatabaseEntry:
    """What the registry answers; while it, or a follower that it needs, is starting again it is asked again."""
    deadline = time.monotonic() + limits.START_SECONDS
    while True:
        left = deadline - time.monotonic()
        try:
            entry: DatabaseEntry = await handles.call(REGISTRY, method, *arguments, seconds=max(0.1, left))
        except (Unreachable, NoQuorum):
            if time.monotonic() >= deadline:
                raise
            await asyncio.sleep(limits.RETRY_SECONDS)
        else:
            return entry


async def _runtime(joined: Settings) -> Runtime:
    loop = asyncio.get_running_loop()
    if loop not in _process.runtimes:
        streams = os.environ.get("RAYLITE_CALLS", "stream") != "ray"
        _process.runtimes[loop] = Runtime(joined, streams=streams)
    return _process.runtimes[loop]


def settings() -> Settings:
    """The settings of the system that this process is in; joins or starts one first if need be."""
    init()
    assert _process.settings is not None, "init raises or sets it"
    return _process.settings


def _enter_ray(address: str | None, path: Path) -> bool:
    """Connects this process to Ray; whether that meant to start an embedded node."""
    if joining.is_connected():
        return False
    _process.started_ray = True
    address = address or os.environ.get("RAY_ADDRESS")
    recorded = cluster.read_cluster_file(path)
    if address is not None:
        cluster.start_ray(address)
        return False
    if recorded is not None and cluster.is_listening(recorded.address):
        cluster.join(recorded)
        return False
    _process.owned = DataDirectory(path)
    _process.owned.own()
    cluster.start_ray("local")
    return True


def _start(path: Path, start: Callable[[DataDirectory], Settings]) -> Settings:
    directory = _process.owned or DataDirectory(path)
    path.mkdir(parents=True, exist_ok=True)
    settings = start(directory)
    if _process.owned is not None:
        address = joining.address()
        cluster.write_cluster_file(path, cluster.ClusterFile(address, joining.cluster_token(), ()))
    return settings
