"""The command line, `raylite`. Exit status: 0 done, 1 a violation or an error of the system, 2 wrong use, 3 refused."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from raylite.actors.core.simulation.command import run_all, summarize
from raylite.actors.gateways import Listen
from raylite.policies import limits
from raylite.policies.errors import Error, Invalid
from raylite.router import cli_cluster
from raylite.router import cli_output as output
from raylite.router.cli_http import serve, serve_at, token
from raylite.router.cli_migrations import migrations
from raylite.router.cli_options import data_option, json_option
from raylite.router.cli_past import fork, time_travel, verify
from raylite.router.cli_session import CliSession
from raylite.router.cli_transfer import export, import_
from raylite.router.demo import run as run_demo
from raylite.router.progress import bar

FAILED = 1
REFUSED = 3


class Group(click.Group):
    """Turns raylite's errors into a line on standard error and an exit status."""

    def invoke(self, ctx: click.Context) -> object:
        """Runs a command."""
        try:
            return super().invoke(ctx)
        except Error as error:
            output.problem(error)
            sys.exit(REFUSED if isinstance(error, Invalid) else FAILED)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="raylite")
def main() -> None:
    """SQLite databases on a Ray cluster: quorum durability, near read replicas, sequentially consistent sessions."""


@main.command()
@click.option(
    "--regions", default="", help="Regions to simulate on this node, with commas between (enam,weur,apac)."
)
@click.option("--wan", is_flag=True, help="Delay messages between regions by realistic round trips.")
@click.option(
    "--cold", default="", help="Cold storage: a folder, an s3://, gs:// or az:// URL, or off (DATA/cold)."
)
@click.option(
    "--hibernate",
    default=limits.HIBERNATE_SECONDS,
    show_default=True,
    help="Seconds until a database that nobody uses has no processes any more; 0: never.",
)
@click.option(
    "--http", "port", type=click.IntRange(1, 65535), help="Also serve D1's protocols at 127.0.0.1:PORT."
)
@data_option
@json_option
def up(
    regions: str,
    wan: bool,
    cold: str,
    hibernate: float,
    port: int | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Start raylite here, or add it to the Ray cluster that RAY_ADDRESS names."""
    found = cli_cluster.up(data_dir, regions, cold, hibernate, wan=wan)
    if port is not None:
        with CliSession.joined(data_dir):
            found["http"] = serve_at(Listen("127.0.0.1", port, ""))[0]
    output.show(found, as_json=as_json)


@main.command()
@click.option("--cold", default="", help="Cold storage that has what is left, as for `up` (DATA/cold).")
@click.option("--regions", default="", help="As for `up`.")
@click.option("--wan", is_flag=True, help="As for `up`.")
@click.option(
    "--discard-followers",
    "discarded",
    default="",
    metavar="SYSTEM",
    help="Move aside what the nodes still have of the system of this id.",
)
@data_option
@json_option
def recover(cold: str, regions: str, wan: bool, discarded: str, data_dir: Path | None, as_json: bool) -> None:
    """Rebuild a system of which only cold storage is left, and say up to which bookmark each database was."""
    output.recovered(cli_cluster.recover(data_dir, regions, cold, discarded, wan=wan), as_json=as_json)


@main.command()
@data_option
@json_option
def down(data_dir: Path | None, as_json: bool) -> None:
    """End exactly what `up` started; data stays."""
    output.show(cli_cluster.down(data_dir), as_json=as_json)


@main.command()
@data_option
@json_option
def status(data_dir: Path | None, as_json: bool) -> None:
    """Show every actor, and how many nodes may be lost."""
    with CliSession.joined(data_dir) as session:
        output.system(session.system(), as_json=as_json)


@main.command(name="replace-follower")
@click.argument("follower")
@click.option("--with", "other", default="", help="Who takes its place; else the placement policy chooses.")
@data_option
@json_option
def replace_follower(follower: str, other: str, data_dir: Path | None, as_json: bool) -> None:
    """Put another follower in the place of one that is gone for good, in all databases; writes go on."""
    with CliSession.joined(data_dir) as session:
        output.replaced(session.replace_follower(follower, other), as_json=as_json)


@main.command()
@click.argument("name")
@click.option("--location", default="", help="Region for the primary.")
@click.option("--replication", default="auto", help="auto, disabled, or regions with commas between.")
@data_option
@json_option
def create(name: str, location: str, replication: str, data_dir: Path | None, as_json: bool) -> None:
    """Create a database."""
    with CliSession.joined(data_dir) as session:
        output.databases([session.create(name, location, replication)], as_json=as_json)


@main.command(name="list")
@data_option
@json_option
def list_(data_dir: Path | None, as_json: bool) -> None:
    """List databases."""
    with CliSession.joined(data_dir) as session:
        output.databases(session.databases(), as_json=as_json)


@main.command()
@click.argument("name")
@data_option
@json_option
def info(name: str, data_dir: Path | None, as_json: bool) -> None:
    """Show one database: where it is, its size, and how far each copy is."""
    with CliSession.joined(data_dir) as session:
        output.info(session.info(name), as_json=as_json)


@main.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
@json_option
def delete(name: str, yes: bool, data_dir: Path | None, as_json: bool) -> None:
    """Delete a database with all its data."""
    if not yes:
        click.confirm(f"Delete {name} with all its data?", abort=True, err=True)
    with CliSession.joined(data_dir) as session:
        session.delete(name)
        output.show({"deleted": name}, as_json=as_json)


@main.command()
@click.argument("name")
@click.option("--command", "sql", help="SQL to run.")
@click.option(
    "--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file of SQL."
)
@click.option(
    "--session",
    "constraint",
    default=None,
    help="first-unconstrained, first-primary, or a bookmark; prints the bookmark to hand on.",
)
@click.option("--at", "moment", default=None, help="Read the state at a bookmark or a time.")
@click.option("--region", default=None, help="Region to call from.")
@click.option("--create/--no-create", "create_it", default=True, help="Create the database if there is none.")
@data_option
@json_option
def execute(
    name: str,
    sql: str | None,
    path: Path | None,
    constraint: str | None,
    moment: str | None,
    region: str | None,
    create_it: bool,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Run SQL on a database, which is created if it does not exist."""
    if (sql is None) == (path is None):
        raise click.UsageError("give either --command or --file")
    if constraint is not None and moment is not None:
        raise click.UsageError("give either --session or --at: a past state has no session")
    text = sql if sql is not None else _read(path)
    with CliSession.joined(data_dir) as session:
        if moment is not None:
            found = session.read_past(name, text, moment, region)
        else:
            found = session.execute(name, text, constraint, region, create=create_it)
        output.executed(found, as_json=as_json)


main.add_command(time_travel)
main.add_command(fork)
main.add_command(verify)
main.add_command(migrations)
main.add_command(export)
main.add_command(import_)
main.add_command(serve)
main.add_command(token)


@main.command()
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Your own SQL to load.",
)
@click.option("--regions", default="enam,weur,apac", show_default=True)
@click.option("--wan", is_flag=True, help="Delay messages between regions by realistic round trips.")
@click.option("--seconds", default=6.0, show_default=True, help="How long clients run.")
@click.option("--data", "data_dir", type=click.Path(path_type=Path), default=None, help="Keep the data here.")
@json_option
def demo(
    path: Path | None, regions: str, wan: bool, seconds: float, data_dir: Path | None, as_json: bool
) -> None:
    """The main job: clients in all regions write, hand on and read; then every copy is checked."""
    sys.exit(run_demo(path, regions.split(","), wan=wan, seconds=seconds, data_dir=data_dir, as_json=as_json))


@main.command()
@click.option("--seed", type=int, default=0, show_default=True, help="The first seed.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="How many.")
@click.option("--processes", type=click.IntRange(1), default=1, help="How many processes share the work.")
@json_option
def simulate(seed: int, seeds: int, processes: int, as_json: bool) -> None:
    """Run the protocol under seeded faults and judge it from outside; a seed always does the same."""
    with bar("Simulating", seeds) as done:
        summary = summarize(run_all(range(seed, seed + seeds), processes), done)
    output.simulation(summary, as_json=as_json)
    sys.exit(FAILED if summary.failed else 0)


def _read(path: Path | None) -> str:
    assert path is not None, "checked by the caller"
    return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
