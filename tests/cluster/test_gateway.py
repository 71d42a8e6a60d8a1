"""The HTTP API on a real Ray node: tokens, sessions, many clients, a killed gateway, and one that is drained."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from ssl import create_default_context

import aiohttp
import msgspec
import pytest

import raylite
from raylite.actors import handles
from raylite.actors.gateways import Listen, all_names
from raylite.policies.errors import NotAllowed, Unreachable
from raylite.policies.tokens import Scope
from raylite.router import serving, tokens
from raylite.router.background import background

SESSION = "x-cf-d1-session-commit-token"
SLOW = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000000) SELECT max(n) AS n FROM c"


class ServedBy(msgspec.Struct):
    """Of an answer's meta, who gave it."""

    served_by_region: str
    served_by_primary: bool


class Served:
    """A gateway, and a token for everything."""

    def __init__(self, listen: Listen, url: str, token: str) -> None:
        self.listen, self.url, self.token = listen, url, token

    async def query(
        self,
        client: aiohttp.ClientSession,
        database: str,
        sql: str,
        *params: object,
        token: str = "",
        session: str | None = None,
    ) -> tuple[int, dict[str, object], str]:
        """Status, content and bookmark of the answer to one statement."""
        headers = {"authorization": f"Bearer {token or self.token}"}
        if session is not None:
            headers[SESSION] = session
        url, body = f"{self.url}/d1/{database}/query", {"sql": sql, "params": params}
        async with client.post(url, json=body, headers=headers) as response:
            return response.status, json.loads(await response.text()), response.headers.get(SESSION, "")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def stop(port: int) -> None:
    background.run(serving.stop(port))


@pytest.fixture(scope="module")
def served(system: Path) -> Iterator[Served]:
    listen = Listen("127.0.0.1", free_port(), "weur")
    url = background.run(serving.serve(listen))[0]
    _, token = background.run(tokens.create("gateway-tests", Scope.ADMIN))
    yield Served(listen, url, token)
    stop(listen.port)
    background.run(tokens.revoke("gateway-tests"))


def test_no_token_no_answer_and_a_token_does_only_what_it_may(
    served: Served, database: raylite.Database
) -> None:
    _, mine = background.run(tokens.create("mine", Scope.WRITE, database.name))
    database_id = database.info().database_id
    _, reader = background.run(tokens.create("reader", Scope.READ))

    async def status(client: aiohttp.ClientSession, name: str, token: str) -> int:
        return (await served.query(client, name, "SELECT 1", token=token))[0]

    async def case() -> None:
        async with aiohttp.ClientSession() as client:
            assert [await status(client, one, mine) for one in (database.name, database_id)] == [200, 200]
            assert await status(client, "nope", mine) == 401
            assert await status(client, "nope", served.token) == 404
            assert await status(client, database.name, reader) == 401
            for wrong in ("x", mine[:-1], mine.replace("raylite_", "raylite-")):
                assert await status(client, database.name, wrong) == 401
            async with (
                client.get(f"{served.url}/health") as health,
                client.get(f"{served.url}/ready") as ready,
            ):
                assert (health.status, ready.status) == (200, 200)
            await tokens.revoke("mine")
            async with asyncio.timeout(30):
                while await status(client, database.name, mine) != 401:
                    await asyncio.sleep(0.1)

    background.run(case(), 120)
    background.run(tokens.revoke("reader"))


def test_a_session_over_http_reads_its_writes_from_the_gateways_region(
    served: Served, database: raylite.Database
) -> None:
    async def case() -> None:
        async with aiohttp.ClientSession() as client, asyncio.timeout(60):
            bookmark, near, n = "first-unconstrained", False, 0
            while not near:
                n += 1
                _, _, bookmark = await served.query(
                    client, database.name, "INSERT INTO t VALUES (1, ?)", n, session=bookmark
                )
                status, found, bookmark = await served.query(
                    client, database.name, "SELECT max(n) AS n FROM t", session=bookmark
                )
                assert (status, found["results"]) == (200, [{"n": n}])
                served_by = msgspec.convert(found["meta"], ServedBy)
                near = served_by == ServedBy("WEUR", served_by_primary=False)

    background.run(case())


def test_two_hundred_clients_at_once_lose_nothing(served: Served, database: raylite.Database) -> None:
    async def one(client: aiohttp.ClientSession, number: int) -> int:
        done = 0
        for n in range(5):
            status, found, _ = await served.query(
                client, database.name, "INSERT INTO t VALUES (?, ?)", number, n
            )
            assert status == 200 or (status == 503 and "Nothing was run" in str(found)), found
            assert status != 200 or found["success"] is True, found
            done += status == 200
        return done

    async def case() -> int:
        limited = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=limited) as client:
            return sum(await asyncio.gather(*(one(client, number) for number in range(200))))

    written = background.run(case(), 120)
    assert written > 0
    assert database.prepare("SELECT count(*) AS n FROM t").first("n") == written


def test_a_gateway_that_is_killed_listens_again(served: Served, database: raylite.Database) -> None:
    async def case() -> None:
        names = await all_names()
        assert len(names) == 1
        status = await handles.call(names[0], "status")
        assert (status.state, status.region) == ("serving", "weur")
        os.kill(status.pid, signal.SIGKILL)
        async with aiohttp.ClientSession() as client, asyncio.timeout(90):
            while True:
                try:
                    answered, _, _ = await served.query(client, database.name, "SELECT 1")
                except aiohttp.ClientError:
                    answered = 0
                if answered == 200 and (await handles.call(names[0], "status")).pid != status.pid:
                    return
                await asyncio.sleep(0.2)

    background.run(case(), 120)


def test_a_gateway_that_ends_first_answers_what_it_has_begun(
    served: Served, database: raylite.Database
) -> None:
    listen = msgspec.structs.replace(served.listen, port=free_port())

    async def case() -> None:
        url = (await serving.serve(listen))[0]
        other = Served(listen, url, served.token)
        async with aiohttp.ClientSession() as client:
            assert (await other.query(client, database.name, "SELECT 1"))[0] == 200
            slow = asyncio.create_task(other.query(client, database.name, SLOW))
            await asyncio.sleep(0.1)
            assert len(await serving.stop(listen.port)) == 1
            assert slow.done(), "the gateway ended before it had answered"
            status, found, _ = slow.result()
            assert (status, found["results"]) == (200, [{"n": 3_000_000}])
            with pytest.raises(aiohttp.ClientError):
                await other.query(client, database.name, "SELECT 1")

    background.run(case(), 120)


def test_a_port_that_is_taken_is_refused_and_leaves_no_actor(served: Served) -> None:
    async def case(taken: int) -> None:
        with pytest.raises(NotAllowed, match="Another gateway"):
            await serving.serve(msgspec.structs.replace(served.listen, region="apac"))
        assert await serving.serve(served.listen) == [served.url]
        with pytest.raises(Unreachable, match="cannot listen"):
            await serving.serve(msgspec.structs.replace(served.listen, port=taken))
        with pytest.raises(NotAllowed, match="without tokens"):
            await serving.serve(Listen("0.0.0.0", taken, "", insecure=True))
        assert len(await all_names()) == 1

    with socket.create_server(("127.0.0.1", 0)) as other:
        background.run(case(other.getsockname()[1]), 120)


def test_tls_and_an_insecure_gateway_on_loopback(
    system: Path, database: raylite.Database, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-subj /CN=raylite -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {certificate}"
    )
    subprocess.run(command.split(), check=True, capture_output=True, timeout=30)
    listen = Listen("127.0.0.1", free_port(), "", str(certificate), str(key), insecure=True)

    async def case() -> None:
        url = (await serving.serve(listen))[0]
        assert url.startswith("https://")
        context = create_default_context(cafile=str(certificate))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as client:
            assert (await Served(listen, url, "").query(client, database.name, "SELECT 1"))[0] == 200
        await serving.stop(listen.port)

    background.run(case(), 120)


class Shown(msgspec.Struct):
    """What the commands print, each a part of it."""

    token: str = ""
    serving: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()


def command(directory: Path, *arguments: str) -> Shown:
    line = [sys.executable, "-m", "raylite.router.cli", *arguments, "--json", "--data", str(directory)]
    done = subprocess.run(line, capture_output=True, timeout=100, check=True)
    return msgspec.json.decode(done.stdout, type=Shown)


def test_it_is_started_and_ended_by_command(served: Served, system: Path, database: raylite.Database) -> None:
    port = free_port()
    token = command(
        system, "token", "create", "by-command", "--scope", "write", "--database", database.name
    ).token
    (url,) = command(system, "serve", "--port", str(port), "--region", "apac").serving

    async def case() -> int:
        async with aiohttp.ClientSession() as client:
            other = Served(served.listen, url, token)
            return (await other.query(client, database.name, "SELECT 1"))[0]

    assert background.run(case()) == 200
    assert len(command(system, "serve", "--port", str(port), "--stop").ended) == 1
    assert not [one for one in background.run(all_names()) if one.endswith(f":{port}")]
    background.run(tokens.revoke("by-command"))
