"""Commands about schema changes in files: `migrations create`, `list` and `apply`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from raylite.router import cli_output as output
from raylite.router import migrations as files
from raylite.router.cli_options import data_option, json_option
from raylite.router.cli_session import CliSession

folder_option = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("migrations"),
    show_default=True,
    help="Where the migrations are.",
)


@click.group()
def migrations() -> None:
    """Schema changes in numbered files, with the files and the table that wrangler uses."""


@migrations.command()
@click.argument("name")
@click.argument("message")
@folder_option
@json_option
def create(name: str, message: str, folder: Path, as_json: bool) -> None:
    """Make an empty migration for the database NAME, to be filled in."""
    path = files.create(folder, message, datetime.now(UTC))
    output.show({"database": name, "created": str(path)}, as_json=as_json)


@migrations.command(name="list")
@click.argument("name")
@folder_option
@data_option
@json_option
def list_(name: str, folder: Path, data_dir: Path | None, as_json: bool) -> None:
    """List the migrations that the database NAME does not have."""
    with CliSession.joined(data_dir) as session:
        names = [path.name for path in session.pending_migrations(name, folder)]
    output.names("pending", names, as_json=as_json)


@migrations.command()
@click.argument("name")
@folder_option
@data_option
@json_option
def apply(name: str, folder: Path, data_dir: Path | None, as_json: bool) -> None:
    """Apply them in order, each in one transaction; the first that fails ends it, and those before it stay."""
    with CliSession.joined(data_dir) as session:
        output.names("applied", session.apply_migrations(name, folder), as_json=as_json)
