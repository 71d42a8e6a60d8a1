"""What the demo's clients saw."""

from __future__ import annotations

from collections import Counter, defaultdict

from raylite.router.result import Meta


class Tally:
    """Counts of one run. Latencies in milliseconds, by the caller's region; queries by region and server."""

    def __init__(self, regions: tuple[str, ...]) -> None:
        self.regions = regions
        self.queries: Counter[tuple[str, str]] = Counter()
        self.write_ms: defaultdict[str, list[float]] = defaultdict(list)
        self.read_ms: defaultdict[str, list[float]] = defaultdict(list)
        self.handed_on = self.own_stale = self.plain_stale = self.marked_stale = 0
        self.errors: Counter[str] = Counter()

    @property
    def violations(self) -> int:
        """Reads that a promise forbids to be stale, and were."""
        return self.own_stale + self.marked_stale

    def served(self, region: str, meta: Meta) -> None:
        """Count a query by who answered it."""
        server = "primary" if meta.served_by_primary else f"replica {meta.served_by_region}"
        self.queries[region, server] += 1
