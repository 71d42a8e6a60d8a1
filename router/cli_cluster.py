"""`raylite up`, `raylite down` and `raylite recover`."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import msgspec

from raylite.actors import cluster, joining
from raylite.actors.founding import DataDirectory
from raylite.policies.errors import NotAllowed
from raylite.policies.rebuilt import RebuiltDatabase, Recovery
from raylite.policies.regions import DEFAULT, Regions, parse
from raylite.policies.system import checked_hibernation
from raylite.router import local_cluster
from raylite.router.moments import as_text
from raylite.router.progress import steps

T = TypeVar("T")
Start = Callable[[DataDirectory, tuple[str, ...], Regions], T]
"""Starts a system in its directory, with these virtual regions; in the cluster that this process has joined."""


class RecoveredDatabase(msgspec.Struct, frozen=True):
    """Up to where one was rebuilt, and when that was; time: "" if nothing of it was held; problem: why it was not."""

    name: str
    id: str
    bookmark: str
    time: str
    problem: str


class Recovered(msgspec.Struct, frozen=True):
    """What a recovery did. unnamed: ids of databases that cold storage has and the rebuilt catalogue does not name."""

    address: str
    data: str
    databases: list[RecoveredDatabase]
    unnamed: list[str]


def up(data_dir: Path | None, regions: str, cold: str, hibernate: float, *, wan: bool) -> dict[str, object]:
    """Starts a cluster for a data directory, or says that it runs; within RAY_ADDRESS only adds raylite's actors."""
    seconds = checked_hibernation(hibernate)
    path = cluster.data_directory(data_dir)
    recorded = _running(path)
    if recorded is not None:
        return {"address": recorded.address, "data": str(path), "started": False}

    def start(directory: DataDirectory, virtual: tuple[str, ...], places: Regions) -> None:
        if cluster.running_settings() is None:
            cluster.start_system(directory, virtual, places, wan=wan, cold=cold, hibernate_seconds=seconds)

    address, _ = _started(path, regions, "Starting raylite", start)
    return {"address": address, "data": str(path), "started": True}


def recover(data_dir: Path | None, regions: str, cold: str, discarded: str, *, wan: bool) -> Recovered:
    """As `up`, of a system that is rebuilt from cold storage alone; says up to where, also of one that runs by now."""
    path = cluster.data_directory(data_dir)

    def start(
        directory: DataDirectory, virtual: tuple[str, ...], places: Regions
    ) -> tuple[Recovery, list[str]]:
        settings = cluster.running_settings() or cluster.recover_system(
            directory, virtual, places, wan=wan, cold=cold, discarded=discarded
        )
        return cluster.recovered(settings)

    recorded = _running(path)
    if recorded is None:
        address, (found, unnamed) = _started(path, regions, "Rebuilding raylite", start)
    else:
        address, (found, unnamed) = _within(path, recorded, lambda directory: start(directory, (), Regions()))
    if not found.databases:
        raise NotAllowed(
            "Rebuilding a system that runs", "It was not rebuilt from cold storage: nothing is to be said."
        )
    return Recovered(address, str(path), [_line(one) for one in found.databases], unnamed)


def _line(one: RebuiltDatabase) -> RecoveredDatabase:
    how = one.rebuilt
    time = as_text(how.time_us) if how.time_us else ""
    return RecoveredDatabase(one.name, one.database_id, how.bookmark, time, how.problem)


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


def _running(path: Path) -> cluster.ClusterFile | None:
    """The cluster that is recorded for a data directory, which is made, if it lives."""
    path.mkdir(parents=True, exist_ok=True)
    recorded = cluster.read_cluster_file(path)
    return recorded if recorded is not None and cluster.is_listening(recorded.address) else None


def _started(path: Path, regions: str, what: str, start: Start[T]) -> tuple[str, T]:
    """Has a cluster for a data directory, which RAY_ADDRESS may name, and starts raylite's actors in it.

    Returns where others can join it, and what `start` does. A cluster that was started here ends after an error.
    """
    recorded = cluster.read_cluster_file(path)
    names, places = parse(regions.split(",") if regions else DEFAULT)
    with steps(what) as step, ExitStack() as undo:
        existing = os.environ.get("RAY_ADDRESS")
        step("a Ray head node" if existing is None else f"joining {existing}")
        found = local_cluster.start_head(path) if existing is None else cluster.ClusterFile(existing, "", ())
        undo.callback(local_cluster.stop_head, found)
        step("followers, registry, routing")
        virtual = names if existing is None or regions else ()
        done = _within(path, found, lambda directory: start(directory, virtual, places))
        undo.pop_all()
    if recorded is not None:  # of a cluster that died, and could not tidy up after itself
        local_cluster.remove_left_over(recorded.temp_dir)
    return done


def _within(path: Path, found: cluster.ClusterFile, work: Callable[[DataDirectory], T]) -> tuple[str, T]:
    """Does `work` as the owner of a data directory, in its cluster; records how to join that.

    Returns where others can join it, which is not what was given if that was "auto".
    """
    directory = DataDirectory(path)
    directory.own()
    try:
        cluster.join(found)
        done = work(directory)
        address = joining.address()
        cluster.write_cluster_file(path, msgspec.structs.replace(found, address=address))
    finally:
        cluster.leave()
        directory.disown()
    return address, done
