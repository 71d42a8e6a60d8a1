"""A process at hand for the next actor of a node: to start one takes Ray longer than to take over takes us.

A worker that Ray starts for a task comes with another one, which stays idle until an actor needs a process; a worker
that has run something is used for no actor. That is how Ray is built, not what it promises: without a spare process
everything works, and takes longer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from raylite.policies.errors import Error
from raylite.policies.limits import SPARE_PROCESS_SECONDS

_ATTEMPTS = 2


async def keep_spare(mark: Path, run_task: Callable[[], Awaitable[bool]]) -> None:
    """Has Ray start a spare process on this node, unless another actor of it does at the same time. Does not raise.

    mark: a file that all actors of the node touch here; run_task: runs a task on it in a worker that ends with it, and
    says whether that was started for it.
    """
    asked = time.time()
    touched = _touched(mark)
    await asyncio.sleep(max(0.0, touched + SPARE_PROCESS_SECONDS - asked))
    if _touched(mark) != touched:
        return
    try:
        _touch(mark)
        for _ in range(_ATTEMPTS):
            if await run_task():  # else the spare one that there was ran it
                return
    except (Error, OSError):
        return


def _touch(mark: Path) -> None:
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _touched(mark: Path) -> float:
    """When, seconds since 1970; 0.0 if never, as far as one can see."""
    try:
        return mark.stat().st_mtime
    except OSError:
        return 0.0
