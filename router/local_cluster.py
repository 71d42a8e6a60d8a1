"""A Ray head node of one's own on this machine: `raylite up` starts it, `raylite down` ends exactly it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from raylite.actors.cluster import NODE_ENVIRONMENT, OBJECT_STORE_BYTES, ClusterFile, is_listening
from raylite.policies.errors import Unreachable

TEMP_PREFIX = "raylite-"
START_SECONDS = 60.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.1


def start_head(data_dir: Path) -> ClusterFile:
    """Starts `ray start --head --block` in a session of its own; raises `Unreachable` if it does not come up.

    It gets its own temporary directory, token and free ports, so that any other Ray cluster here is left alone.
    """
    token = secrets.token_hex(32)
    temp_dir = tempfile.mkdtemp(prefix=TEMP_PREFIX)
    ports = free_ports(4)
    host = "127.0.0.1"
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block",
        f"--node-ip-address={host}", f"--port={ports[0]}", f"--dashboard-port={ports[1]}",
        f"--ray-client-server-port={ports[2]}", f"--dashboard-agent-listen-port={ports[3]}",
        f"--temp-dir={temp_dir}", f"--object-store-memory={OBJECT_STORE_BYTES}", "--disable-usage-stats",
    ]  # fmt: skip
    environment = NODE_ENVIRONMENT | os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    with open(data_dir / "ray.log", "wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    cluster = ClusterFile(f"{host}:{ports[0]}", token, (process.pid,), temp_dir)
    with ExitStack() as undo:
        undo.callback(stop_head, cluster)
        _wait_until_up(process, host, ports[0], data_dir / "ray.log")
        undo.pop_all()
    return cluster


def stop_head(cluster: ClusterFile) -> list[int]:
    """Ends the processes that `start_head` started and all that they started; returns the ids that were ended.

    Their temporary directory goes with them, once nobody uses it.
    """
    chosen = [pid for pid in cluster.pids if _is_ours(pid, cluster.temp_dir)]
    family = sorted({one for pid in chosen for one in (pid, *descendants(pid))})
    for pid in chosen:
        _signal(pid, signal.SIGTERM)
    if not _wait_until_gone(family, STOP_SECONDS):
        for pid in family:
            _signal(pid, signal.SIGKILL)
        _wait_until_gone(family, STOP_SECONDS)
    remove_left_over(cluster.temp_dir, STOP_SECONDS)
    return family


def remove_left_over(temp_dir: str, seconds: float = 0.0) -> None:
    """Removes a directory that `start_head` made, unless processes use it that do not end within `seconds`."""
    path = Path(temp_dir)
    if not path.name.startswith(TEMP_PREFIX):
        return
    users = [pid for pid, _ in _processes() if _is_ours(pid, temp_dir)]
    if not users or _wait_until_gone(users, seconds):
        shutil.rmtree(path, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def descendants(pid: int) -> Iterator[int]:
    """The ids of the processes that this one started, and of those that they started."""
    parents = dict(_processes())
    for child, parent in parents.items():
        ancestor: int | None = parent
        while ancestor is not None and ancestor != pid:
            ancestor = parents.get(ancestor)
        if ancestor == pid:
            yield child


def _processes() -> Iterator[tuple[int, int]]:
    """(process id, its parent's) of all processes."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            yield int(folder.name), int(fields[1])


def _is_ours(pid: int, temp_dir: str) -> bool:
    """Whether this id is still the process that was started: its command line names the temporary directory."""
    try:
        return temp_dir.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait_until_up(process: subprocess.Popen[bytes], host: str, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines()[-3:]
            raise Unreachable("a new Ray head node", f"it ended with {process.returncode}: {' '.join(lines)}")
        if is_listening(f"{host}:{port}"):
            return
        time.sleep(POLL_SECONDS)
    raise Unreachable("a new Ray head node", f"it did not listen within {START_SECONDS:g} s; see {log}")


def _wait_until_gone(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(_is_alive(pid) for pid in pids):
            return True
        time.sleep(POLL_SECONDS)
    return False


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
