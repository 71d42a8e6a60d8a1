"""The examples that serve HTTP, run as they say."""

from __future__ import annotations

import json
import shutil
import sys
import urllib.request
from pathlib import Path

from tests.compat.clients.conftest import MODULES, NODE, Gateways, free_port, running
from tests.compat.clients.workers import WORKERD

import raylite

EXAMPLES = Path(__file__).parents[3] / "examples"
Reply = tuple[object, str]


def call(method: str, url: str, body: object = None, bookmark: str = "") -> Reply:
    """The JSON of an answer with status 200, and its bookmark."""
    headers = {"content-type": "application/json"} | ({"x-bookmark": bookmark} if bookmark else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer), answer.headers.get("x-bookmark", "")


def test_the_worker(gateways: Gateways, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "worker", tmp_path, dirs_exist_ok=True)
    raylite.connect("guests", create=True).exec("DROP TABLE IF EXISTS guests")
    port = free_port()
    path = tmp_path / "raylite.capnp"
    text = path.read_text().replace('TOKEN"', f'{gateways.token}"')
    text = text.replace("127.0.0.1:8787", f"127.0.0.1:{gateways.ports['weur']}").replace(":8080", f":{port}")
    path.write_text(text)
    with running([WORKERD, "serve", path], port, tmp_path):
        url, bookmark = f"http://127.0.0.1:{port}", ""
        for name in ("ada", "grace"):
            found, bookmark = call("POST", url, {"name": name, "said": "hello"}, bookmark)
        found, _ = call("GET", url, bookmark=bookmark)
    assert isinstance(found, dict)
    assert found["guests"] == [{"name": "grace", "said": "hello"}, {"name": "ada", "said": "hello"}]


def test_the_fastapi_application(gateways: Gateways, tmp_path: Path) -> None:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--app-dir",
        str(EXAMPLES),
        "fastapi_app:app",
        "--port",
        str(port),
    ]
    with running(command, port, tmp_path, RAYLITE_DATA=str(gateways.directory)):
        url, bookmark = f"http://127.0.0.1:{port}/orders", ""
        for qty in (3, 5):
            _, bookmark = call("POST", url, {"customer": "ada", "qty": qty}, bookmark)
        found, _ = call("GET", f"{url}/ada", bookmark=bookmark)
    assert found == [{"id": 1, "qty": 3}, {"id": 2, "qty": 5}]


def test_wrangler_dev(gateways: Gateways, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "wrangler", tmp_path, dirs_exist_ok=True)
    shutil.copy(EXAMPLES / "worker/worker.mjs", tmp_path)
    raylite.connect("guests", create=True).exec("DROP TABLE IF EXISTS guests")
    path, port = tmp_path / "wrangler.json", free_port()
    text = path.read_text().replace("PLUGIN", str(tmp_path / "plugin")).replace("TOKEN", gateways.token)
    path.write_text(text.replace("127.0.0.1:8787", f"127.0.0.1:{gateways.ports['apac']}"))
    wrangler: list[str | Path] = [
        NODE,
        MODULES / "wrangler/bin/wrangler.js",
        "dev",
        "--port",
        str(port),
        "--inspector-port",
        "0",
    ]
    quiet = {"WRANGLER_SEND_METRICS": "false", "WRANGLER_HIDE_BANNER": "true", "CI": "true"}
    with running(wrangler, port, tmp_path, **quiet):
        url = f"http://127.0.0.1:{port}"
        _, bookmark = call("POST", url, {"name": "ada", "said": "hello"})
        found, _ = call("GET", url, bookmark=bookmark)
    assert isinstance(found, dict)
    assert found["guests"] == [{"name": "ada", "said": "hello"}]
