"""TLS with Ray's own certificates, on both loops."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from raylite.actors.core.messages import Append
from raylite.actors.stream import (
    Connection,
    Identity,
    Payload,
    Server,
    Tls,
    connect,
    derive_key,
    tls_from_environment,
)
from raylite.policies.bookmark import origin
from raylite.policies.errors import Unreachable

KEY = derive_key(b"token", "system")
DIALLER = Identity("primary:shop", "weur", KEY)
LISTENER = Identity("follower:1", "enam", KEY)
PLACE = origin("db")
LARGE = Append("db", "i", 1, 1, "dir", PLACE, [bytes(1 << 20)], PLACE, PLACE)
LOOPS = pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
Factory = Callable[[], asyncio.AbstractEventLoop]


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


@LOOPS
def test_messages_of_any_size_travel_over_tls(factory: Factory, tmp_path: Path) -> None:
    tls = certified(tmp_path, "cluster", "127.0.0.1")

    async def body() -> None:
        server = await Server.start(LISTENER, echo, "127.0.0.1", tls=tls)
        connection = await connect(DIALLER, server.endpoint, echo, tls=tls)
        assert await asyncio.gather(*(connection.call(LARGE) for _ in range(5))) == [LARGE] * 5
        await connection.stop()
        await server.stop()

    with asyncio.Runner(loop_factory=factory) as loop:
        loop.run(asyncio.wait_for(body(), 20))


@LOOPS
def test_no_or_another_clusters_certificate_or_address_is_refused(factory: Factory, tmp_path: Path) -> None:
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

    with asyncio.Runner(loop_factory=factory) as loop:
        loop.run(asyncio.wait_for(body(), 20))


def test_tls_is_off_unless_ray_uses_it() -> None:
    assert tls_from_environment({}) is None
    assert tls_from_environment({"RAY_USE_TLS": "0"}) is None
    with pytest.raises(KeyError, match="RAY_TLS"):
        tls_from_environment({"RAY_USE_TLS": "1"})
