"""Fuzzing has a bound on memory: what a decoder takes beyond it is an error that it may not raise."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

SPARE_BYTES = 1 << 30
"""What may be taken besides what the process has when a test begins: threads' stacks, caches, a decoder's value."""


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """A length that is believed before its bytes are there gives a `MemoryError` here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + SPARE_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
