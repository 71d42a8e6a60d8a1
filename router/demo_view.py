"""How the demo shows what its clients see, while they run and as a table afterwards."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table

from raylite.policies.status import ActorStatus, CopyCheck
from raylite.router.tally import Tally


def live(tally: Tally) -> RenderableType:
    """The counts so far."""
    return Group(_promises(tally), _regions(tally))


def report(
    console: Console, tally: Tally, statuses: Sequence[ActorStatus], copies: Sequence[CopyCheck]
) -> None:
    """Everything that was seen, then the copies."""
    console.print(_promises(tally), _regions(tally), _lags(statuses), _copies(copies))
    for error, count in tally.errors.items():
        console.print(f"{count} x {error}", style="red")


def as_json(
    tally: Tally, statuses: Sequence[ActorStatus], copies: Sequence[CopyCheck], *, holds: bool
) -> str:
    """The same for scripts."""
    facts = {
        "holds": holds,
        "handed_on": tally.handed_on,
        "stale_without_bookmark": tally.plain_stale,
        "stale_with_bookmark": tally.marked_stale,
        "stale_own_writes": tally.own_stale,
        "queries": {f"{region} by {server}": count for (region, server), count in tally.queries.items()},
        "write_ms_median": {region: statistics.median(found) for region, found in tally.write_ms.items()},
        "read_ms_median": {region: statistics.median(found) for region, found in tally.read_ms.items()},
        "confirm_lag_ms": {one.region: one.lag_ms for one in statuses if one.role == "replica"},
        "copies": [
            {"actor": one.actor, "bookmark": one.bookmark, "digest": one.digest, "problems": one.problems}
            for one in copies
        ],
        "errors": dict(tally.errors),
    }
    return json.dumps(facts, indent=2)


def _promises(tally: Tally) -> Table:
    table = Table(
        "what was read", "reads", "stale", title="A key is handed to another region and read at once"
    )
    table.add_row("own write, same session", str(tally.handed_on), _verdict(tally.own_stale))
    table.add_row("by another region, without the bookmark", str(tally.handed_on), str(tally.plain_stale))
    table.add_row("by another region, with the bookmark", str(tally.handed_on), _verdict(tally.marked_stale))
    return table


def _verdict(stale: int) -> str:
    return f"[bold red]{stale}[/]" if stale else "[bold green]0[/]"


def _regions(tally: Tally) -> Table:
    table = Table(
        "region", "write ms", "read ms", "queries by who served them", title="Median latency by caller"
    )
    for region in tally.regions:
        served = [
            (server, count) for (caller, server), count in sorted(tally.queries.items()) if caller == region
        ]
        who = ", ".join(f"{server}: {count}" for server, count in served)
        table.add_row(region, _median(tally.write_ms[region]), _median(tally.read_ms[region]), who)
    return table


def _median(found: Sequence[float]) -> str:
    return f"{statistics.median(found):.1f}" if found else ""


def _lags(statuses: Sequence[ActorStatus]) -> Table:
    table = Table("replica", "confirm lag ms", title="From the primary's confirmation to the replica's")
    for one in statuses:
        if one.role == "replica":
            table.add_row(one.region, "" if one.lag_ms is None else f"{one.lag_ms:.1f}")
    return table


def _copies(copies: Sequence[CopyCheck]) -> Table:
    table = Table("copy", "bookmark", "pages", "digest", "integrity", title="Every copy, read whole")
    for one in copies:
        integrity = "; ".join(one.problems) or "ok"
        table.add_row(one.actor, one.bookmark, str(one.pages), one.digest[:16], integrity)
    return table
