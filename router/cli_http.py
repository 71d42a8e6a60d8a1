"""Commands about the HTTP API: `serve`, and `token create`, `list` and `revoke`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from raylite.actors.gateways import Listen
from raylite.policies import limits
from raylite.policies.tokens import Scope, Token
from raylite.router import cli_output as output
from raylite.router import serving, tokens
from raylite.router.background import background
from raylite.router.cli_options import data_option, json_option
from raylite.router.cli_session import CliSession
from raylite.router.moments import as_text
from raylite.router.progress import steps

_pem = click.Path(exists=True, dir_okay=False, resolve_path=True)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(1, 65535), default=limits.HTTP_PORT, show_default=True)
@click.option("--region", default="", help="Region from which databases are asked; the node's unless given.")
@click.option("--tls-cert", "certificate", type=_pem, help="Certificate, PEM; the same path on each node.")
@click.option("--tls-key", "private_key", type=_pem, help="Its private key, PEM.")
@click.option(
    "--rate", type=click.FloatRange(0), default=0.0, help="Requests a second for each caller; 0: any."
)
@click.option("--insecure", is_flag=True, help="Ask for no token: on loopback only.")
@click.option("--every-node", is_flag=True, help="On every node that lives now, not only on this one.")
@click.option("--stop", is_flag=True, help="End what listens at this port, once it has answered.")
@data_option
@json_option
def serve(
    host: str,
    port: int,
    region: str,
    certificate: str | None,
    private_key: str | None,
    rate: float,
    insecure: bool,
    every_node: bool,
    stop: bool,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Answer D1's protocols over HTTP, from this node; it goes on when this command has ended."""
    if bool(certificate) != bool(private_key):
        raise click.UsageError("give both --tls-cert and --tls-key, or neither")
    listen = Listen(host, port, region, certificate or "", private_key or "", insecure, rate)
    with CliSession.joined(data_dir):
        if stop:
            ended = background.run(serving.stop(port, every_node=every_node))
            output.names("ended", ended, as_json=as_json)
            return
        output.names("serving", serve_at(listen, every_node=every_node), as_json=as_json)


def serve_at(listen: Listen, *, every_node: bool = False) -> list[str]:
    """The URLs where it is served then; this process must have joined the system."""
    with steps(f"Serving at port {listen.port}"):
        return background.run(serving.serve(listen, every_node=every_node))


@click.group()
def token() -> None:
    """Who may use the HTTP API."""


@token.command()
@click.argument("name")
@click.option(
    "--scope", type=click.Choice(list(map(str, Scope))), required=True, help="What its holder may do."
)
@click.option("--database", default="", help="The only database that it is for; all unless given.")
@click.option("--days", type=click.FloatRange(0), default=0.0, help="Until it expires; 0: never.")
@data_option
@json_option
def create(name: str, scope: str, database: str, days: float, data_dir: Path | None, as_json: bool) -> None:
    """Make a token, and show it this once."""
    with CliSession.joined(data_dir):
        made, text = background.run(tokens.create(name, Scope(scope), database, days))
        output.show(_facts(made, {made.database_id: database}) | {"token": text}, as_json=as_json)


@token.command(name="list")
@data_option
@json_option
def list_(data_dir: Path | None, as_json: bool) -> None:
    """List tokens, without their secrets."""
    with CliSession.joined(data_dir) as session:
        found = background.run(tokens.all_tokens())
        names = {one.database_id: one.name for one in session.databases()}
        output.table([_facts(one, names) for one in found], as_json=as_json)


@token.command()
@click.argument("name")
@data_option
@json_option
def revoke(name: str, data_dir: Path | None, as_json: bool) -> None:
    """End a token; gateways refuse it within a moment."""
    with CliSession.joined(data_dir):
        background.run(tokens.revoke(name))
        output.show({"revoked": name}, as_json=as_json)


def _facts(one: Token, names: Mapping[str, str]) -> dict[str, object]:
    """names: of databases, by id; one that was deleted has none."""
    return {
        "name": one.name,
        "scope": str(one.scope),
        "database": names.get(one.database_id, one.database_id) if one.database_id else "all",
        "created": as_text(one.created_us),
        "expires": as_text(one.expires_us) if one.expires_us else "never",
    }
