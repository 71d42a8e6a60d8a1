"""The HTTP application over a whole system, served on loopback from a thread of this process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
import uvicorn
from tests.services.d1_client import Client
from tests.services.local_system import LocalSystem

from raylite.router.http.gate import Gate
from raylite.router.http.ports import AnyoneMay

START_SECONDS = 60.0


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where it listens; at the end nothing that ran there may have failed."""
    started: Future[tuple[uvicorn.Server, str]] = Future()
    directory = tmp_path_factory.mktemp("system")
    thread = threading.Thread(target=lambda: asyncio.run(_serve(directory, started)))
    thread.start()
    server, url = started.result(START_SECONDS)
    yield url
    server.should_exit = True
    thread.join(START_SECONDS)
    assert not thread.is_alive()


async def _serve(directory: Path, started: Future[tuple[uvicorn.Server, str]]) -> None:
    system = LocalSystem(directory)
    await system.start()
    client = Client(system, AnyoneMay())
    try:
        system.start_primary()
        await client.begin()
        bound = socket.create_server(("127.0.0.1", 0))
        gate = Gate(client.application)
        configuration = uvicorn.Config(gate, lifespan="off", log_config=None, timeout_graceful_shutdown=5)
        configuration.load()
        server = uvicorn.Server(configuration)
        started.set_result((server, f"http://127.0.0.1:{bound.getsockname()[1]}"))
        await server.serve(sockets=[bound])
    finally:
        await client.end()
        await system.stop()
