"""What the command line prints: tables for people, JSON for scripts."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import msgspec
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from raylite.actors.core.simulation.command import Summary
from raylite.policies.bookmark import Bookmark
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import Error
from raylite.policies.status import ActorStatus
from raylite.router.cli_cluster import Recovered
from raylite.router.cli_session import Executed, SystemStatus
from raylite.router.client import DatabaseInfo
from raylite.router.own_stdout import console
from raylite.router.result import Result

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


def names(what: str, found: Sequence[str], *, as_json: bool) -> None:
    """Names under a heading, one a line."""
    if as_json:
        _json({what: list(found)})
        return
    console.print(f"{what}: {'' if found else 'none'}", highlight=False)
    for one in found:
        console.print(f"  {one}", highlight=False)


def databases(entries: Sequence[DatabaseEntry], *, as_json: bool) -> None:
    """One line a database."""
    rows: list[dict[str, object]] = [
        {
            "name": one.name,
            "id": one.database_id,
            "primary": one.region,
            "replicas": list(one.replicas),
            "asleep": one.asleep,
        }
        for one in entries
    ]
    table(rows, as_json=as_json)


def info(found: DatabaseInfo, *, as_json: bool) -> None:
    """One database, and its actors."""
    if as_json:
        _json(msgspec.to_builtins(found))
        return
    console.print(f"{found.name} ({found.database_id}), primary in {found.region}", highlight=False)
    if found.fork is not None:
        console.print(f"a fork of {found.fork.parent} at {found.fork.bookmark}", highlight=False)
    if found.asleep:
        console.print("asleep: it has no processes until somebody uses it")
        return
    console.print(actors(found.actors))


def system(found: SystemStatus, *, as_json: bool) -> None:
    """All actors, and what may be lost."""
    if as_json:
        _json(msgspec.to_builtins(found))
        return
    console.print(actors(found.actors))
    for actor in found.missing:
        console.print(f"[bold red]{actor} does not answer[/]", highlight=False)
    if found.asleep:
        console.print(f"{found.asleep} databases are asleep.", highlight=False)
    console.print(
        f"{found.tolerated_nodes} nodes may be lost, whichever, without losing anything acknowledged."
    )


def replaced(found: Mapping[str, str], *, as_json: bool) -> None:
    """Which follower came, by database."""
    table([{"database": name, "follower": one} for name, one in found.items()], as_json=as_json)


def recovered(found: Recovered, *, as_json: bool) -> None:
    """Up to where each database was rebuilt, and what cold storage has besides."""
    if as_json:
        _json(msgspec.to_builtins(found))
        return
    for one in found.databases:
        text = f"rebuilt up to {one.bookmark} of {one.time}" if not one.problem else one.problem
        console.print(f"{one.name} ({one.id}): {text}", highlight=False, soft_wrap=True)
    console.print("What was acknowledged later is lost.")
    for unnamed in found.unnamed:
        console.print(f"{unnamed}: cold storage has it, the catalogue does not name it", highlight=False)


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


def actors(statuses: Sequence[ActorStatus]) -> RenderableType:
    """All actors, one line each in 80 columns unless names are long, and below what is wrong, in whole sentences.

    at: epoch and sequence of the newest entry that is confirmed as far as the actor knows; lag: milliseconds;
    WAL: megabytes; votes: followers that answer a primary, and how many it needs.
    """
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for name in ("actor", "region", "pid", "state", "at", "lag", "WAL", "votes"):
        table.add_column(name, overflow="fold", no_wrap=name != "actor")
    for one in statuses:
        table.add_row(
            one.actor, one.region, str(one.pid), one.state, _short(one.bookmark),
            "" if one.lag_ms is None else f"{one.lag_ms:.1f}", f"{one.wal_bytes / 1e6:.1f}" if one.bookmark else "",
            f"{one.answering}/{one.needed}" if one.needed else "",
        )  # fmt: skip
    trouble = [f"{one.actor}: {problem}" for one in statuses for problem in one.problems]
    return Group(table, *(Text(line, style="red") for line in trouble))


def _short(bookmark: str) -> str:
    if not bookmark:
        return ""
    place = Bookmark.parse(bookmark)
    return f"{place.epoch}.{place.sequence}"


def executed(found: Executed, *, as_json: bool) -> None:
    """The rows of each statement that has any, a line of what was done, and a session's bookmark."""
    if as_json:
        _json([_result(one, found.bookmark) for one in found.results])
        return
    for one in found.results:
        if one.results:
            table(one.results, as_json=False)
    if found.results:
        changes = sum(one.meta.changes for one in found.results)
        meta = found.results[-1].meta
        done = f"{len(found.results)} statements, {changes} rows changed"
        console.print(f"{done}, served by {meta.served_by} ({meta.served_by_region})", highlight=False)
    if found.bookmark:
        console.print(f"bookmark: {found.bookmark}", highlight=False, soft_wrap=True)


def _result(one: Result, bookmark: str) -> dict[str, object]:
    """D1's form of a result; a session's bookmark goes beside it."""
    shown: dict[str, object] = {
        "results": one.results,
        "success": True,
        "meta": msgspec.to_builtins(one.meta),
    }
    return shown | ({"bookmark": bookmark} if bookmark else {})


def table(rows: Sequence[Mapping[str, object]], *, as_json: bool) -> None:
    """Rows that all have the same columns."""
    if as_json:
        _json(rows)
        return
    shown = Table()
    for name in rows[0] if rows else ():
        shown.add_column(str(name))
    for row in rows:
        shown.add_row(*("" if value is None else str(value) for value in row.values()))
    console.print(shown)


def _json(value: object) -> None:
    encoded = msgspec.json.encode(value, enc_hook=lambda blob: base64.b64encode(blob).decode())
    print(msgspec.json.format(encoded, indent=2).decode(), file=console.file)
