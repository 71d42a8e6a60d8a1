"""This process' part in a Ray cluster: starting or joining one, its token, and where this process is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ray as _ray
from ray import _raylet

from raylite.actors.nodes import REGION_LABEL
from raylite.policies.system import NAMESPACE

ray: Any = _ray  # Ray leaves parts of its API untyped


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
