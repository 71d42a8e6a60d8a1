"""How long a client that writes every 10 ms waits when the primary's process is killed, again and again.

A pause is from `kill -9` to the next acknowledged write; nothing but the write's own retries is in the client.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import time

from rich.console import Console

import raylite
from raylite.actors import handles
from raylite.policies.status import ActorStatus
from raylite.router.background import background

WRITE_SECONDS = 0.01
BETWEEN_SECONDS = 3.0


def pause(write: raylite.Statement) -> float:
    """Kills the primary while writes go on; seconds until the next is acknowledged."""
    until = time.monotonic() + BETWEEN_SECONDS
    while time.monotonic() < until:
        write.run()
        time.sleep(WRITE_SECONDS)
    status: ActorStatus = background.run(handles.call("primary:bench", "status"))
    os.kill(status.pid, signal.SIGKILL)
    began = time.monotonic()
    write.run()
    return time.monotonic() - began


def main() -> None:
    """Measures on a system of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    kills: int = parser.parse_args().kills
    console = Console()
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="raylite-bench-") as folder:
        raylite.init(data_dir=folder)
        try:
            database = raylite.connect("bench", create=True)
            database.exec("CREATE TABLE t (a INTEGER)")
            pauses = [pause(database.prepare("INSERT INTO t VALUES (1)")) for _ in range(kills)]
        finally:
            raylite.shutdown()
    console.print(" ".join(f"{one:.2f}" for one in pauses))
    console.print(
        f"{kills} kills: median {statistics.median(pauses):.2f} s, longest {max(pauses):.2f} s; "
        f"load at the end {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
