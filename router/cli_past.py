"""Commands about the states that cold storage keeps: `time-travel`, `fork`, `verify`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from raylite.router import cli_output as output
from raylite.router.cli_options import bookmark_option, data_option, json_option, timestamp_option
from raylite.router.cli_session import CliSession

DIFFERENT = 1


@click.group(name="time-travel")
def time_travel() -> None:
    """Find the states that cold storage keeps of a database, and return to one."""


@time_travel.command(name="info")
@click.argument("name")
@timestamp_option
@data_option
@json_option
def time_travel_info(name: str, timestamp: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Show the bookmark of now, or of a time, and how far back states are kept."""
    with CliSession.joined(data_dir) as session:
        output.show(session.time_travel_info(name, timestamp), as_json=as_json)


@time_travel.command(name="restore")
@click.argument("name")
@timestamp_option
@bookmark_option
@data_option
@json_option
def time_travel_restore(
    name: str, timestamp: str | None, bookmark: str | None, data_dir: Path | None, as_json: bool
) -> None:
    """Make the database what it was; shows the bookmark that undoes it."""
    moment = _moment(timestamp, bookmark)
    if moment is None:
        raise click.UsageError("give either --timestamp or --bookmark")
    with CliSession.joined(data_dir) as session:
        found = session.restore(name, moment)
        output.show({"bookmark": found.bookmark, "undo": found.undo}, as_json=as_json)


@click.command()
@click.argument("name")
@click.argument("new")
@timestamp_option
@bookmark_option
@data_option
@json_option
def fork(
    name: str, new: str, timestamp: str | None, bookmark: str | None, data_dir: Path | None, as_json: bool
) -> None:
    """Create a database NEW that begins as NAME is, or was; what cold storage has is not copied."""
    moment = _moment(timestamp, bookmark)
    with CliSession.joined(data_dir) as session:
        output.info(session.fork(name, new, moment), as_json=as_json)


@click.command()
@click.argument("name")
@data_option
@json_option
def verify(name: str, data_dir: Path | None, as_json: bool) -> None:
    """Restore a database from cold storage alone, and compare it with the one that is served."""
    with CliSession.joined(data_dir) as session:
        found = session.verify(name)
        output.show(msgspec.structs.asdict(found), as_json=as_json)
    sys.exit(DIFFERENT if found.problems else 0)


def _moment(timestamp: str | None, bookmark: str | None) -> str | None:
    if timestamp and bookmark:
        raise click.UsageError("give either --timestamp or --bookmark")
    return bookmark if timestamp is None else timestamp
