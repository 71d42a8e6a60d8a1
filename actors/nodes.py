"""The machines of the Ray cluster, their disks, and what Ray remembers for us."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import ray as _ray
from ray._private import state as _state
from ray.exceptions import RayError, RayTaskError
from ray.experimental import internal_kv as _kv
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raylite.actors.founding import DataDirectory, Holding
from raylite.actors.service import node_directory
from raylite.policies import limits
from raylite.policies.errors import Error, Unreachable
from raylite.policies.quorum import Members
from raylite.policies.system import NAMESPACE, Node, RegistryPlan, SystemRecord

ray: Any = _ray  # Ray leaves parts of its API untyped
state: Any = _state
kv: Any = _kv
REGION_LABEL = "ray.io/availability-region"
ZONE_LABEL = "ray.io/availability-zone"
NODE_LABEL = "ray.io/node-id"
NO_REGION = "local"
"""The region of nodes without a label."""
_PLAN = b"registry-plan"
_POLICY = b"routing-policy"

T = TypeVar("T")


def live_nodes() -> list[Node]:
    """The nodes that Ray takes for alive."""
    found: list[dict[str, Any]] = ray.nodes()
    return [_node(one) for one in found if one["Alive"]]


def _node(one: dict[str, Any]) -> Node:
    labels: dict[str, str] = one.get("Labels", {})
    return Node(one["NodeID"], labels.get(REGION_LABEL) or NO_REGION, labels.get(ZONE_LABEL, ""))


def own_node() -> str:
    """The id of this process' node."""
    return str(ray.get_runtime_context().get_node_id())


# Their disks


def holdings(nodes: Sequence[Node], data_dir: str) -> dict[str, Holding]:
    """What each node's disk has, by the node's id; nodes that do not answer in time are missing. Raises `Corrupt`."""
    return on_nodes(nodes, partial(_holding, data_dir))


def keep(
    nodes: Sequence[Node], data_dir: str, record: SystemRecord, members: Members | None, next_follower: int
) -> int:
    """Gives each of these nodes a copy of the record, durably; returns how many have one now."""
    return len(on_nodes(nodes, partial(_keep, data_dir, record, members, next_follower)))


def set_aside(nodes: Sequence[Node], data_dir: str, system_id: str) -> None:
    """Moves away what each of these nodes has of that system; raises `Unreachable` if one does not answer in time."""
    done = on_nodes(nodes, partial(_set_aside, data_dir, system_id))
    if len(done) < len(nodes):
        raise Unreachable("the cluster's nodes", f"{len(done)} of {len(nodes)} have set aside what they have")


def _set_aside(data_dir: str, system_id: str) -> bool:
    DataDirectory(node_directory(data_dir)).set_aside(system_id)
    return True


def _holding(data_dir: str) -> Holding:
    return DataDirectory(node_directory(data_dir)).holding()


def _keep(data_dir: str, record: SystemRecord, members: Members | None, next_follower: int) -> bool:
    DataDirectory(node_directory(data_dir)).keep(record, members, next_follower)
    return True


def on_nodes(nodes: Sequence[Node], work: Callable[[], T]) -> dict[str, T]:
    """What `work` returns on each of these nodes; raises what it raises. Nodes that do not answer in time are missing.

    Blocks: not to be called on an event loop.
    """
    carry = ray.remote(num_cpus=0, max_retries=0)(_call)
    there = {
        carry.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)).remote(
            work
        ): node
        for node in nodes
    }
    done, late = ray.wait(list(there), num_returns=len(there), timeout=limits.NODE_SECONDS)
    for call in late:
        ray.cancel(call, force=True)
    found: dict[str, T] = {}
    for call in done:
        try:
            found[there[call].id] = ray.get(call)
        except RayTaskError as error:
            cause: object = error.cause
            raise (
                cause if isinstance(cause, Error) else Unreachable(f"node {there[call].id[:8]}", str(cause))
            ) from None
        except RayError:  # the node is gone
            continue
    return found


def _call(work: Callable[[], T]) -> T:
    return work()


def run_in_new_worker() -> bool:
    """Runs a task on this node in a worker that ends with it; whether that was started for it. Blocks."""
    here = NodeAffinitySchedulingStrategy(own_node(), soft=False)
    task = ray.remote(num_cpus=0, max_retries=0, max_calls=1, scheduling_strategy=here)(_started)
    asked = int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))
    started: int = ray.get(task.remote(), timeout=limits.NODE_SECONDS)
    return started >= asked


def _started() -> int:
    """When this process was started: clock ticks on the clock that `CLOCK_BOOTTIME` is."""
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])


# What Ray keeps


def remember(plan: RegistryPlan) -> None:
    """Keeps the plan where Ray keeps its actors' names: whoever can start an actor can read it."""
    kv._internal_kv_put(_PLAN, msgspec.msgpack.encode(plan), overwrite=True, namespace=NAMESPACE.encode())


def remember_members(members: Members) -> None:
    """Changes them in the plan; what nodes have on disk is the first members."""
    plan = recall()
    assert plan is not None, "a registry is started with a plan"
    remember(msgspec.structs.replace(plan, members=members))


def recall() -> RegistryPlan | None:
    """The plan that was kept last in this cluster."""
    found: bytes | None = kv._internal_kv_get(_PLAN, namespace=NAMESPACE.encode())
    return msgspec.msgpack.decode(found, type=RegistryPlan) if found else None


def keep_policy(policy: bytes) -> None:
    """Keeps a pickled routing policy for as long as the cluster lives."""
    kv._internal_kv_put(_POLICY, policy, overwrite=True, namespace=NAMESPACE.encode())


def kept_policy() -> bytes:
    """The routing policy that was kept last, b"" for none."""
    found: bytes | None = kv._internal_kv_get(_POLICY, namespace=NAMESPACE.encode())
    return found or b""


def is_running(handle: Any) -> bool:
    """Whether Ray takes this very actor for running: not dead, and not being started again."""
    return bool(_actor(handle).get("State") == "ALIVE")


def node_of(handle: Any) -> str:
    """The id of the node where this very actor is, or was last; "" if it never was anywhere."""
    node = str(_actor(handle).get("Address", {}).get("NodeID", ""))
    return "" if set(node) == {"f"} else node


def _actor(handle: Any) -> dict[str, Any]:
    """Ray's record of an actor. The one use of this private module of Ray's: its public API needs the dashboard."""
    found: dict[str, Any] = state.actors(handle._actor_id.hex())
    return found


class Process:
    """One process of an actor, by its handle. A `Suspect`. start_another: of that name, but not on the node given."""

    def __init__(self, handle: Any, start_another: Callable[[str], object]) -> None:
        self._handle, self._start_another = handle, start_another

    async def answers(self) -> bool:
        """See `Suspect.answers`."""
        try:
            async with asyncio.timeout(limits.REGISTRY_SECONDS):
                await self._handle.status.remote()
        except (RayError, TimeoutError):
            return False
        return True

    async def is_running(self) -> bool:
        """See `Suspect.is_running`."""
        return await asyncio.to_thread(is_running, self._handle)

    async def replace(self) -> None:
        """See `Suspect.replace`."""
        node = await asyncio.to_thread(node_of, self._handle)
        ray.kill(self._handle, no_restart=True)
        await asyncio.to_thread(self._start_another, node)
