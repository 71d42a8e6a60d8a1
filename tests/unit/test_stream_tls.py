"""TLS with Ray's own certificates, on both loops."""

from __future__ import annotations

import asyncio
import subprocess
from functools import partial
from pathlib import Path

import pytest
from tests.unit.stream_world import DIALLER, LARGE, LISTENER, LOOPS, Run, run_on, until

from raylite.actors.stream import (
    Connection,
    Payload,
    Server,
    Tls,
    connect,
    tls_from_environment,
)
from raylite.policies.errors import Unreachable


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return partial(run_on, request.param)


def certified(folder: Path, name: str, address: str) -> Tls:
    """Contexts of a certificate for `address` that is its own authority."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-subj /CN={name} -addext subjectAltName=IP:{address} -keyout {key} -out {certificate}"
    )
    subprocess.run(command.split(), check=True, capture_output=True, timeout=30)
    environment = {
        "RAY_USE_TLS": "1",
        "RAY_TLS_SERVER_CERT": str(certificate),
        "RAY_TLS_SERVER_KEY": str(key),
        "RAY_TLS_CA_CERT": str(certificate),
    }
    found = tls_from_environment(environment)
    assert found is not None
    return found


def echo(_connection: Connection, message: Payload) -> Payload:
    return message


def test_messages_of_any_size_travel_over_tls(run: Run, tmp_path: Path) -> None:
    tls = certified(tmp_path, "cluster", "127.0.0.1")

    async def body() -> None:
        server = await Server.start(LISTENER, echo, "127.0.0.1", tls=tls)
        connection = await connect(DIALLER, server.endpoint, echo, tls=tls)
        assert await asyncio.gather(*(connection.call(LARGE) for _ in range(5))) == [LARGE] * 5
        await connection.stop()
        await server.stop()

    run(body)


def test_no_or_another_clusters_certificate_or_address_is_refused(run: Run, tmp_path: Path) -> None:
    tls = certified(tmp_path, "cluster", "127.0.0.1")
    foreign = certified(tmp_path, "foreign", "127.0.0.1")
    elsewhere = certified(tmp_path, "elsewhere", "127.0.0.2")
    trusting = certified(tmp_path, "trusting", "127.0.0.1")
    trusting.client.load_verify_locations(tmp_path / "cluster.pem")

    async def body() -> None:
        for served, dialled in (
            (tls, foreign),  # the dialler does not trust the listener
            (tls, trusting),  # the listener does not trust the dialler
            (tls, None),
            (None, tls),
            (elsewhere, elsewhere),  # the certificate is for another address
        ):
            server = await Server.start(LISTENER, echo, "127.0.0.1", tls=served)
            with pytest.raises(Unreachable):
                await connect(DIALLER, server.endpoint, echo, tls=dialled, seconds=1.0)
            assert not server.connections
            await server.stop()
        # asyncio's own task of a handshake that failed ends a moment later.
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})

    run(body)


def test_tls_is_off_unless_ray_uses_it() -> None:
    assert tls_from_environment({}) is None
    assert tls_from_environment({"RAY_USE_TLS": "0"}) is None
    with pytest.raises(KeyError, match="RAY_TLS"):
        tls_from_environment({"RAY_USE_TLS": "1"})
