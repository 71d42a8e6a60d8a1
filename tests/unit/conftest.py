"""Unit tests run without a cluster: `ray.init` must not happen, not even by way of a call that would start one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.unit.replica_world import Process


@pytest.fixture(autouse=True)
def no_ray() -> Iterator[None]:
    """Fails a test during which Ray was started or joined."""
    yield
    # Ray takes a second to import; a test that did not import it cannot have started it.
    import sys

    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        ray.shutdown()
        pytest.fail("a unit test started Ray: it belongs into tests/cluster")


@pytest.fixture(scope="session")
def process() -> Iterator[Process]:
    """Another process, in which tests of replicas read."""
    with closing(Process()) as made:
        yield made
