"""Work that goes on between the requests of whoever asks how far it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Final, Generic, TypeVar

from raylite.policies import limits
from raylite.policies.errors import Error, OutcomeUnknown
from raylite.router.http.error_text import error_text
from raylite.router.moving import Step, Watch

T = TypeVar("T")

_LOGGER: Final = logging.getLogger(__name__)


class Job(Generic[T]):
    """One. work: is told whom to tell of its steps."""

    def __init__(self, work: Callable[[Watch], Coroutine[object, object, T]]) -> None:
        self._step: Step | None = None
        self.task = asyncio.get_running_loop().create_task(work(self._watch))
        self.task.add_done_callback(_seen)

    async def wait(self) -> None:
        """Returns when it is over, or after a second."""
        await asyncio.wait((self.task,), timeout=limits.TRANSFER_HOLD_SECONDS)

    @property
    def status(self) -> str:
        """In the words of the API."""
        if not self.task.done():
            return "active"
        return "complete" if self.error is None else "error"

    @property
    def error(self) -> Error | None:
        """How it failed."""
        if not self.task.done():
            return None
        if self.task.cancelled():
            return OutcomeUnknown("the transfer", "it was stopped")
        error = self.task.exception()
        if error is None or isinstance(error, Error):
            return error
        return OutcomeUnknown("the transfer", f"it ended with a defect, {type(error).__name__}")

    @property
    def problem(self) -> str | None:
        """The same in words."""
        return None if self.error is None else error_text(self.error)

    def messages(self) -> list[str]:
        """What is new since this was last called."""
        step, self._step = self._step, None
        if step is None:
            return []
        return [f"{step.name}: {step.done:,} bytes" + (f" of {step.total:,}" if step.total else "")]

    def _watch(self, step: Step) -> None:
        """Any thread may call it."""
        self._step = step


def _seen(task: asyncio.Task[T]) -> None:
    """An error that nobody asks for is no accident here; a defect is, asked for or not."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, Error):
        _LOGGER.error("a transfer ended with a defect", exc_info=error)
