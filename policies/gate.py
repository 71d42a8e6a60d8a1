"""The output gate: it holds every response, rows or error, until all that the response may have seen is confirmed.

A response waits with a mark, the sequence of the newest entry that it may have seen. It leaves when an entry at or
past its mark is confirmed, or it is taken out (too late), or the gate breaks (the reign is over). A broken gate is
terminal: nothing passes it any more, not even what was confirmed before.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Generic, TypeVar

from raylite.policies.errors import Error, Overloaded

T = TypeVar("T")


class Gate(Generic[T]):
    """Waiters of any type, at most `bound`, in the order of their marks and then of their arrival.

    Invariant: every waiter inside has a mark above `mark`, and a broken gate has no waiter.
    """

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.mark = -1
        self.error: Error | None = None
        self._arrivals = 0
        self._heap: list[tuple[int, int, T]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def wait(self, sequence: int, waiter: T) -> bool:
        """Whether the response with mark `sequence` may leave at once; else `waiter` is held.

        Raises the error that broke the gate, or `Overloaded`: then the waiter is not held. The query has run by
        now, so whoever admits queries must count those that are still running too.
        """
        if self.error is not None:
            raise self.error
        if sequence <= self.mark:
            return True
        if len(self._heap) >= self.bound:
            raise Overloaded("responses that wait for confirmation", self.bound)
        self._arrivals += 1
        heapq.heappush(self._heap, (sequence, self._arrivals, waiter))
        return False

    def confirmed(self, sequence: int) -> list[T]:
        """The waiters that may leave now that everything up to `sequence` is confirmed, in order."""
        self.mark = max(self.mark, sequence)
        released: list[T] = []
        while self._heap and self._heap[0][0] <= self.mark:
            released.append(heapq.heappop(self._heap)[2])
        return released

    def drop(self, chosen: Callable[[T], bool]) -> list[T]:
        """Takes out the waiters that are `chosen`, for instance those past their deadline; in order."""
        ordered = sorted(self._heap, key=lambda held: held[:2])
        dropped = [held[2] for held in ordered if chosen(held[2])]
        if dropped:
            # A sorted list is a heap.
            self._heap = [held for held in ordered if not chosen(held[2])]
        return dropped

    def break_(self, error: Error) -> list[T]:
        """Ends the gate for good: everyone who waited, in order; whoever comes later gets the first such `error`."""
        if self.error is None:
            self.error = error
        return self.drop(lambda _: True)
