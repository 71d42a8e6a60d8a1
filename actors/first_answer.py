"""The first of several answers to one question, of an actor whose process may just have died.

A call that is sent before Ray has noticed that the process died errs a second or two later, when the next process may
listen for long. So another is sent meanwhile, and the first answer counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

from raylite.policies import limits
from raylite.policies.errors import Unreachable

T = TypeVar("T")


async def first_answer(ask: Callable[[], Coroutine[object, object, T]], actor: str) -> T:
    """What the first call of `ask` returns that ends well; raises what the last raises, or `Unreachable` for none."""
    asked: set[asyncio.Task[T]] = set()
    try:
        async with asyncio.timeout(limits.CONNECT_SECONDS):
            while True:
                asked.add(asyncio.create_task(ask()))
                done, asked = await asyncio.wait(
                    asked, timeout=limits.ASK_ANOTHER_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                answered = [one for one in done if one.exception() is None]
                if answered or (done and not asked):
                    return (answered or list(done))[0].result()
    except TimeoutError as error:
        reason = f"nobody says where it listens within {limits.CONNECT_SECONDS:g} s"
        raise Unreachable(actor, reason) from error
    finally:
        for one in asked:
            one.cancel()
