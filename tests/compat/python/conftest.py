"""The system and database of the cluster's tests, and Ray Serve beside them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.conftest import database, system

__all__ = ["database", "serve", "system"]


@pytest.fixture(scope="module")
def serve(system: Path) -> Iterator[Any]:
    """Ray Serve, which each module starts anew: it listens where it was told first."""
    found: Any = importlib.import_module("ray.serve")
    yield found
    found.shutdown()
