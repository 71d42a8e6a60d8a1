"""`raylite up` and `raylite down`."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import msgspec

from raylite.actors import cluster, joining
from raylite.actors.founding import DataDirectory
from raylite.policies.regions import DEFAULT, parse
from raylite.policies.system import checked_hibernation
from raylite.router import local_cluster
from raylite.router.progress import steps


def up(data_dir: Path | None, regions: str, cold: str, hibernate: float, *, wan: bool) -> dict[str, object]:
    """Starts a cluster for a data directory, or says that it runs; within RAY_ADDRESS only adds raylite's actors."""
    seconds = checked_hibernation(hibernate)
    path = cluster.data_directory(data_dir)
    path.mkdir(parents=True, exist_ok=True)
    recorded = cluster.read_cluster_file(path)
    if recorded is not None and cluster.is_listening(recorded.address):
        return {"address": recorded.address, "data": str(path), "started": False}
    names, places = parse(regions.split(",") if regions else DEFAULT)
    with steps("Starting raylite") as step, ExitStack() as undo:
        existing = os.environ.get("RAY_ADDRESS")
        step("a Ray head node" if existing is None else f"joining {existing}")
        found = local_cluster.start_head(path) if existing is None else cluster.ClusterFile(existing, "", ())
        undo.callback(local_cluster.stop_head, found)
        step("followers, registry, routing")
        virtual = names if existing is None or regions else ()
        start = partial(
            cluster.start_system,
            virtual=virtual,
            regions=places,
            wan=wan,
            cold=cold,
            hibernate_seconds=seconds,
        )
        address = _start(found, path, start)
        undo.pop_all()
    if recorded is not None:  # of a cluster that died, and could not tidy up after itself
        local_cluster.remove_left_over(recorded.temp_dir)
    return {"address": address, "data": str(path), "started": True}


def down(data_dir: Path | None) -> dict[str, object]:
    """Ends the processes that `up` recorded, and no others."""
    path = cluster.data_directory(data_dir)
    recorded = cluster.read_cluster_file(path)
    if recorded is None:
        return {"data": str(path), "ended": []}
    with steps("Stopping raylite") as step:
        step("a Ray head node and all that it started")
        ended = local_cluster.stop_head(recorded) if recorded.pids else []
    cluster.forget_cluster_file(path)
    return {"data": str(path), "ended": ended}


def _start(found: cluster.ClusterFile, path: Path, start: Callable[[DataDirectory], object]) -> str:
    """Starts raylite's actors in a cluster, unless they live there already; records how to join it.

    Returns where others can join it, which is not what was given if that was "auto".
    """
    directory = DataDirectory(path)
    directory.own()
    try:
        cluster.join(found)
        if cluster.running_settings() is None:
            start(directory)
        address = joining.address()
        cluster.write_cluster_file(path, msgspec.structs.replace(found, address=address))
    finally:
        cluster.leave()
        directory.disown()
    return address
