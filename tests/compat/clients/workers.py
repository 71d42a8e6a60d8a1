"""Workers on the real workerd, whose D1 bindings ask a gateway each."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.compat.clients.conftest import MODULES, Gateways, free_port, running

WORKERD = MODULES / "workerd/bin/workerd"

_CONFIGURATION = """
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [ (name = "main", worker = .app), {services} ],
  sockets = [ (name = "http", address = "127.0.0.1:{port}", http = (), service = "main") ] );
const app :Workerd.Worker = (
  modules = [ {modules} ], compatibilityDate = "2026-01-01", compatibilityFlags = [ {flags} ],
  bindings = [ {bindings} ] );
"""
_SERVICE = """
(name = "d1-{region}", external = (address = "127.0.0.1:{port}", http = (injectRequestHeaders = [
  (name = "x-d1-database-id", value = "{database}"), (name = "authorization", value = "Bearer {token}") ])))
"""
_BINDING = """
(name = "{name}", wrapped = (moduleName = "cloudflare-internal:d1-api",
  innerBindings = [ (name = "fetcher", service = "d1-{region}") ]))
"""


@contextmanager
def worker(
    gateways: Gateways, folder: Path, modules: Sequence[str], *, flags: Sequence[str] = ()
) -> Generator[str]:
    """The URL of a Worker with a binding for each region, by its name. modules: as in workerd's configuration."""
    port = free_port()
    services = [
        _SERVICE.format(region=region, port=listens, database=gateways.database, token=gateways.token)
        for region, listens in gateways.ports.items()
    ]
    bindings = [_BINDING.format(name=region.upper(), region=region) for region in gateways.ports]
    configuration = _CONFIGURATION.format(
        port=port,
        services=", ".join(services),
        bindings=", ".join(bindings),
        modules=", ".join(modules),
        flags=", ".join(f'"{one}"' for one in flags),
    )
    (folder / "worker.capnp").write_text(configuration)
    with running([WORKERD, "serve", folder / "worker.capnp"], port, folder):
        yield f"http://127.0.0.1:{port}"
