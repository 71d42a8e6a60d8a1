"""The options of every actor: how it is named, how long it lives, and on which nodes it may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ray as _ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raylite.actors.nodes import NODE_LABEL, REGION_LABEL
from raylite.policies.system import NAMESPACE, Settings

ray: Any = _ray  # Ray leaves parts of its API untyped

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


def actor(kind: type, name: str, options: dict[str, Any]) -> Any:
    """An actor class of this name; its `remote` starts one, or finds the one that lives."""
    return ray.remote(kind).options(name=name, **_OPTIONS, **options)


def on_node(node: str) -> dict[str, Any]:
    """On that node, and on no other."""
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}


def off_node(avoid: str) -> dict[str, Any]:
    """Anywhere; not on the node `avoid`, unless that is "" or there is no other."""
    return _selected([_other_than(avoid), {}] if avoid else [])


def in_region(region: str, settings: Settings, avoid: str, *, strictly: bool) -> dict[str, Any]:
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
