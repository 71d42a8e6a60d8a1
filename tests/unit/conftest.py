"""Unit tests run without a cluster: `ray.init` must not happen, not even by way of a call that would start one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.unit.replica_world import Process

if TYPE_CHECKING:
    from tests.unit.s3_server import Server


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


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server that speaks S3, with a bucket for each test that asks for one."""
    # What it is made of takes a second to import.
    from tests.unit.s3_server import Server

    with Server() as running:
        yield running
