"""Real Ray nodes on this machine, each with a region, a disk of its own, and a token that they share."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster as RayNodes

import raylite
from raylite.actors import joining, nodes, ray_calls
from raylite.actors.nodes import REGION_LABEL
from raylite.router.local_cluster import descendants

NODES: Mapping[str, str] = {"a": "enam", "b": "enam", "c": "weur", "d": "weur", "e": "apac"}
"""Disks, with the region of the node that each is in."""
LATER: Mapping[str, str] = {"f": "weur"}
"""Those of nodes that a test adds."""


class SeveralNodes:
    """A Ray cluster of which the first node is the head; raylite is started by this process, which joins that."""

    def __init__(self, disks: Path, order: str = "abcde") -> None:
        self._disks, self._nodes = disks, dict[str, Any]()
        self._environment = pytest.MonkeyPatch()
        self._environment.setenv("RAY_AUTH_MODE", "token")
        self._environment.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        self._environment.setenv("RAY_worker_niceness", "0")
        joining.reread_token()
        self._ray: Any = RayNodes()
        for name in order:
            self.add(name)
        self._ray.wait_for_nodes()
        raylite.init(self._ray.address, data_dir=self.disk(order[0]))

    def disk(self, name: str) -> Path:
        """The data directory of a node."""
        return self._disks / name

    def add(self, name: str) -> None:
        """Starts a node with its disk."""
        self._nodes[name] = self._ray.add_node(
            wait=not self._nodes, num_cpus=2, object_store_memory=80_000_000, include_dashboard=False,
            labels={REGION_LABEL: {**NODES, **LATER}[name]}, env_vars={"RAYLITE_DATA": str(self.disk(name))},
        )  # fmt: skip

    def lose(self, name: str) -> None:
        """Ends a node's processes at once, its actors' too, and nothing is told to anybody."""
        node = self._nodes.pop(name)
        ray_itself = [one.process.pid for kind in node.all_processes.values() for one in kind]
        family = [child for pid in ray_itself for child in descendants(pid)]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._ray.remove_node(node, allow_graceful=False)

    def where(self, actor: str) -> str:
        """The node where an actor is, by the name of its disk; "" if it is nowhere."""
        handle = ray_calls.find(actor)
        ids = {node.node_id: name for name, node in self._nodes.items()}
        return "" if handle is None else ids.get(nodes.node_of(handle), "")

    def command(self, *arguments: str) -> object:
        """What a command prints as JSON that is told where the cluster is."""
        command = [
            sys.executable,
            "-m",
            "raylite.router.cli",
            *arguments,
            "--json",
            "--data",
            str(self._disks),
        ]
        environment = os.environ | {"RAY_ADDRESS": self._ray.address}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def stop(self) -> None:
        """Ends everything."""
        raylite.shutdown()
        self._ray.shutdown()
        self._environment.undo()
        joining.reread_token()
        assert "RAY_ADDRESS" not in os.environ
