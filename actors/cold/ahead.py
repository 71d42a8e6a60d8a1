"""Reads some objects ahead, so that a restore does not wait a round trip for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from raylite.policies.limits import COLD_READS_AHEAD

S = TypeVar("S")
T = TypeVar("T")


def ahead(job: Callable[[S], T], items: Iterable[S], width: int = COLD_READS_AHEAD) -> Iterator[T]:
    """`job` of each item, in order; up to `width` of them are under way or waiting to be taken."""
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(width, "cold-read") as pool:
        for item in items:
            waiting.append(pool.submit(job, item))
            if len(waiting) == width:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
