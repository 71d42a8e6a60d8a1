"""Commands that move whole databases: `export` and `import`."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from raylite.policies.transfer import Kind
from raylite.router import cli_output as output
from raylite.router.cli_options import data_option, json_option
from raylite.router.cli_session import CliSession
from raylite.router.dump import Selection


@click.command()
@click.argument("name")
@click.option(
    "--output",
    "path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice([*Kind]),
    default=None,
    help="sql or sqlite; by default sqlite for .db, .sqlite and .sqlite3, else sql.",
)
@click.option("--table", "tables", multiple=True, help="Only this table; may be repeated.")
@click.option("--no-schema", is_flag=True, help="Rows only.")
@click.option("--no-data", is_flag=True, help="Tables, indexes, triggers and views only.")
@click.option("--region", default=None, help="Region to call from.")
@data_option
@json_option
def export(
    name: str,
    path: Path,
    kind: str | None,
    tables: tuple[str, ...],
    no_schema: bool,
    no_data: bool,
    region: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Write a database into a file of SQL, or a SQLite file."""
    with CliSession.joined(data_dir) as session:
        found = session.export(name, path, kind, Selection(tables, not no_schema, not no_data), region)
        output.show(msgspec.structs.asdict(found), as_json=as_json)


@click.command(name="import")
@click.argument("name")
@click.option(
    "--file",
    "path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The file to apply.",
)
@click.option("--create/--no-create", "create_it", default=True, help="Create the database if there is none.")
@data_option
@json_option
def import_(name: str, path: Path, create_it: bool, data_dir: Path | None, as_json: bool) -> None:
    """Apply a file of SQL, or a SQLite file, in one transaction: all of it or nothing."""
    with CliSession.joined(data_dir) as session:
        found = session.import_file(name, path, create=create_it)
        output.show(msgspec.structs.asdict(found), as_json=as_json)
