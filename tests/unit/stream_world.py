"""What tests of connections share: who dials and listens, and a loop that must be left clean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import uvloop

from raylite.actors.core.messages import Append
from raylite.actors.stream import Identity, derive_key
from raylite.policies.bookmark import origin

KEY = derive_key(b"token", "system")
DIALLER = Identity("primary:shop", "weur", KEY)
LISTENER = Identity("follower:1", "enam", KEY)
PLACE = origin("db")
Body = Callable[[], Coroutine[None, None, None]]
Run = Callable[[Body], None]
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def run_on(loop: str, body: Body) -> None:
    """Runs a test's body within 20 s; afterwards nothing may be running, and nothing may have gone unreported."""
    reports: list[object] = []

    async def bounded() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
        async with asyncio.timeout(20):
            await body()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, [str(one) for one in others]

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(bounded())
    assert reports == []


async def until(condition: Callable[[], bool]) -> None:
    """Looks once a millisecond; the time limit of `run_on` ends it."""
    while not condition():
        await after(0.001)


async def after(seconds: float) -> None:
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, passed.set)
    await passed.wait()


def append(number: int, size: int = 0) -> Append:
    """A message with `size` bytes of pieces."""
    return Append("db", "i", number, 1, "dir", PLACE, [bytes(size)] if size else [], PLACE, PLACE)


LARGE = append(1, 1 << 20)
