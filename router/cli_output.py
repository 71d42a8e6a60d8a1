"""What the command line prints: tables for people, JSON for scripts."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from raylite.actors.core.simulation.command import Summary
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import Error
from raylite.policies.status import ActorStatus
from raylite.router.cli_session import SystemStatus
from raylite.router.client import DatabaseInfo
from raylite.router.result import Result

console = Console()
problems = Console(stderr=True)


def problem(error: Error) -> None:
    """An error, on standard error."""
    problems.print(f"[bold red]{type(error).__name__}[/]: {error}", highlight=False)


def show(facts: dict[str, object], *, as_json: bool) -> None:
    """A few named facts."""
    if as_json:
        _json(facts)
        return
    for name, value in facts.items():
        console.print(f"{name}: {value}", highlight=False)


def databases(entries: Sequence[DatabaseEntry], *, as_json: bool) -> None:
    """One line a database."""
    rows: list[dict[str, object]] = [
        {"name": one.name, "id": one.database_id, "primary": one.region, "replicas": list(one.replicas)}
        for one in entries
    ]
    _table(rows, as_json=as_json)


def info(found: DatabaseInfo, *, as_json: bool) -> None:
    """One database, and its actors."""
    if as_json:
        _json(msgspec.to_builtins(found))
        return
    console.print(f"{found.name} ({found.database_id}), primary in {found.region}", highlight=False)
    _table(_actors(found.actors), as_json=False)


def system(found: SystemStatus, *, as_json: bool) -> None:
    """All actors, and what may be lost."""
    if as_json:
        _json(msgspec.to_builtins(found))
        return
    _table(_actors(found.actors), as_json=False)
    for actor in found.missing:
        console.print(f"[bold red]{actor} does not answer[/]")
    console.print(
        f"{found.tolerated_nodes} nodes may be lost, whichever, without losing anything acknowledged."
    )


def simulation(summary: Summary, *, as_json: bool) -> None:
    """What happened in the runs, and the command that replays each that failed."""
    if as_json:
        failed = [{"seed": one.seed, "violations": one.violations} for one in summary.failed]
        facts = {
            "seeds": summary.runs,
            "totals": summary.totals,
            "shares": summary.shares(),
            "failed": failed,
        }
        _json(facts)
        return
    for line in summary.lines():
        console.print(line, highlight=False)


def _actors(statuses: Sequence[ActorStatus]) -> list[dict[str, object]]:
    return [
        {
            "actor": one.actor, "region": one.region, "pid": one.pid, "state": one.state, "epoch": one.epoch,
            "bookmark": one.bookmark, "lag ms": one.lag_ms, "wal bytes": one.wal_bytes,
            "followers": f"{one.answering}, needs {one.needed}" if one.needed else "",
            "problems": "; ".join(one.problems),
        }
        for one in statuses
    ]  # fmt: skip


def results(found: Sequence[Result], *, as_json: bool) -> None:
    """The rows of each statement that has any, and a line of what was done."""
    if as_json:
        _json(
            [
                {"results": one.results, "success": True, "meta": msgspec.to_builtins(one.meta)}
                for one in found
            ]
        )
        return
    for one in found:
        if one.results:
            _table(one.results, as_json=False)
    if found:
        changes = sum(one.meta.changes for one in found)
        meta = found[-1].meta
        served = f"{meta.served_by} ({meta.served_by_region})"
        console.print(f"{len(found)} statements, {changes} rows changed, served by {served}", highlight=False)


def _table(rows: Sequence[Mapping[str, object]], *, as_json: bool) -> None:
    if as_json:
        _json(rows)
        return
    table = Table()
    for name in rows[0] if rows else ():
        table.add_column(str(name))
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    console.print(table)


def _json(value: object) -> None:
    encoded = msgspec.json.encode(value, enc_hook=lambda blob: base64.b64encode(blob).decode())
    print(msgspec.json.format(encoded, indent=2).decode())
