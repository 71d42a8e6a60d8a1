"""How many requests a caller may make."""

from __future__ import annotations

from collections import OrderedDict

BURST_SECONDS = 1.0
"""A caller that was silent may make as many at once as it may make in this time."""


class Rates:
    """`rate` requests a second for each caller; of no more than `most` callers is kept what they have used up."""

    def __init__(self, rate: float, most: int) -> None:
        self._interval, self._most = 1 / rate, most
        self._ahead = max(BURST_SECONDS, self._interval)
        self._used_until: OrderedDict[str, float] = OrderedDict()

    def wait(self, caller: str, now: float) -> float:
        """Seconds until this caller may make a request, 0.0 if that counts as made now."""
        until = max(now, self._used_until.pop(caller, now))
        wait = until + self._interval - now - self._ahead
        self._used_until[caller] = until + self._interval if wait <= 0 else until
        if len(self._used_until) > self._most:
            self._used_until.popitem(last=False)
        return max(0.0, wait)
