"""The first answer of several calls counts, however late the earlier ones err."""

from __future__ import annotations

import asyncio

import pytest

from raylite.actors.first_answer import first_answer
from raylite.policies import limits
from raylite.policies.errors import Unreachable


class Calls:
    """Each call takes its own time and then ends as scripted; the last one's script is that of all later ones."""

    def __init__(self, *script: tuple[float, str]) -> None:
        self._script = script
        self.made = self.cancelled = 0

    async def one(self) -> str:
        seconds, answer = self._script[min(self.made, len(self._script) - 1)]
        self.made += 1
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if not answer:
            raise Unreachable("primary:shop", "it died")
        return answer


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ASK_ANOTHER_SECONDS", 0.02)
    monkeypatch.setattr(limits, "CONNECT_SECONDS", 0.5)


def test_a_call_that_errs_late_holds_nobody_up_and_is_given_up() -> None:
    async def case() -> None:
        calls = Calls((60.0, ""), (0.0, "here"))
        assert await first_answer(calls.one, "primary:shop") == "here"
        await asyncio.sleep(0)
        assert (calls.made, calls.cancelled) == (2, 1)

    asyncio.run(case())


def test_one_that_errs_at_once_ends_it_if_no_other_is_under_way() -> None:
    async def case() -> None:
        calls = Calls((0.0, ""))
        with pytest.raises(Unreachable, match="it died"):
            await first_answer(calls.one, "primary:shop")
        assert calls.made == 1

    asyncio.run(case())


def test_an_early_call_that_errs_while_another_is_under_way_is_no_answer() -> None:
    async def case() -> None:
        calls = Calls((0.03, ""), (0.1, "here"))
        assert await first_answer(calls.one, "primary:shop") == "here"

    asyncio.run(case())


def test_nobody_who_answers_is_said_in_time() -> None:
    async def case() -> None:
        calls = Calls((60.0, "never"))
        with pytest.raises(Unreachable, match=r"within 0\.5 s"):
            await first_answer(calls.one, "primary:shop")
        await asyncio.sleep(0)
        assert calls.cancelled == calls.made > 2

    asyncio.run(case())
