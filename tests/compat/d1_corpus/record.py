"""Asks the D1 service inside workerd all that is in `groups`, and keeps what it answers: `just record-d1`."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from tests.compat.d1_corpus.compared import ANSWERS, steady
from tests.compat.d1_corpus.groups import GROUPS
from tests.compat.d1_corpus.request import Request

PORT = 8795
START_SECONDS = 20.0
ANSWER_SECONDS = 20.0
DATABASE = "x-database"

_CONFIGURATION = """
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [ (name = "disk", disk = (path = "data", writable = true)), (name = "d1", worker = .d1),
    (name = "front", worker = .front) ],
  sockets = [ (name = "http", address = "127.0.0.1:{port}", http = (), service = "front") ] );
const d1 :Workerd.Worker = (
  modules = [ (name = "d1.js", bundled = "/workerd/d1.js") ], compatibilityDate = "2026-01-01",
  durableObjectNamespaces = [ (className = "D1Database", uniqueKey = "reference", enableSql = true) ],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [ (name = "DATABASE", durableObjectNamespace = "D1Database") ] );
const front :Workerd.Worker = (
  modules = [ (name = "front.js",
    esModule = "export default {{ fetch(req, env) {{ return env[req.headers.get('{header}')].fetch(req); }} }}") ],
  compatibilityDate = "2026-01-01", bindings = [ {bindings} ] );
"""
_BINDING = (
    """(name = "{name}", service = (name = "d1", props = (json = "{{\\"database\\": \\"{name}\\"}}")))"""
)


def main() -> None:
    """Writes the answers. Argument: workerd's program."""
    with _reference(Path(sys.argv[1]).resolve()):
        found = {name: [_asked(name, one) for one in group] for name, group in GROUPS.items()}
    ANSWERS.write_text(_lines(found))
    print(f"{sum(map(len, found.values()))} answers of {_version(Path(sys.argv[1]))}")


def _lines(found: dict[str, list[object]]) -> str:
    """As JSON, an answer a line."""
    groups: list[str] = []
    for name, answers in found.items():
        lines = ",\n".join(msgspec.json.encode(one).decode() for one in answers)
        groups.append(f'"{name}": [\n{lines}\n]')
    return "{\n" + ",\n".join(groups) + "\n}\n"


def _asked(database: str, request: Request) -> object:
    body = request.body if isinstance(request.body, bytes) else msgspec.json.encode(request.body)
    headers = {"content-type": "application/json", DATABASE: database}
    sent = urllib.request.Request(f"http://127.0.0.1:{PORT}{request.target}", body, headers)
    try:
        with urllib.request.urlopen(sent, timeout=ANSWER_SECONDS) as answer:
            return steady(msgspec.json.decode(answer.read()))
    except urllib.error.HTTPError as error:
        return {"status": error.code}


@contextmanager
def _reference(program: Path) -> Generator[None]:
    with TemporaryDirectory() as folder:
        (Path(folder) / "data").mkdir()
        bindings = ", ".join(_BINDING.format(name=name) for name in GROUPS)
        text = _CONFIGURATION.format(port=PORT, header=DATABASE, bindings=bindings)
        (Path(folder) / "reference.capnp").write_text(text)
        process = subprocess.Popen([program, "serve", "--experimental", "reference.capnp"], cwd=folder)
        try:
            _wait()
            yield
        finally:
            process.kill()
            process.wait()


def _wait() -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            _asked(next(iter(GROUPS)), Request("/query", {"sql": "SELECT 1"}))
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _version(program: Path) -> str:
    return subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
