"""raylite behind Ray Serve's own HTTP: D1's protocols as a deployment, and the example."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import raylite
from raylite import http
from raylite.policies.tokens import Scope
from raylite.router import tokens
from raylite.router.background import background

EXAMPLES = Path(__file__).parents[3] / "examples"
pytestmark = pytest.mark.filterwarnings("ignore")  # Serve's


@pytest.fixture(scope="module")
def url(serve: Any) -> str:
    """Where it listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    return f"http://127.0.0.1:{port}"


def post(url: str, body: object = None, token: str = "") -> Any:
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_d1s_protocols_as_a_deployment(serve: Any, url: str, database: raylite.Database) -> None:
    class D1:
        pass

    ingress = serve.ingress(http.application())(D1)
    deployment = serve.deployment(ray_actor_options={"num_cpus": 0})(ingress)
    _, token = background.run(tokens.create("serve", Scope.WRITE, database.name))
    serve.run(deployment.bind(), name="d1", route_prefix="/")
    try:
        query = f"{url}/d1/{database.name}/query"
        post(query, {"sql": "INSERT INTO t VALUES (1, 2)"}, token)
        assert post(query, {"sql": "SELECT * FROM t"}, token)["results"] == [{"client": 1, "n": 2}]
        with pytest.raises(urllib.error.HTTPError, match="401"):
            post(query, {"sql": "SELECT 1"}, "nothing")
    finally:
        serve.delete("d1")
        background.run(tokens.revoke("serve"))


def test_the_example_counts(serve: Any, url: str, system: Path, database: raylite.Database) -> None:
    address: str = importlib.import_module("ray").get_runtime_context().gcs_address
    around = {**os.environ, "RAYLITE_DATA": str(system), "RAY_ADDRESS": address}
    line = [sys.executable, str(EXAMPLES / "serve_app.py"), f"{database.name}-counters"]
    process = subprocess.Popen(line, env=around, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        first = _once_served(process, f"{url}/visits")
        assert [post(f"{url}/visits") for _ in range(5)] == [first + n for n in range(1, 6)]
    finally:
        process.terminate()
        process.wait(30)
        serve.delete("default")


def _once_served(process: subprocess.Popen[bytes], url: str) -> int:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None
        with contextlib.suppress(OSError):
            return int(post(url))
        time.sleep(0.2)
    pytest.fail("the example does not answer")
