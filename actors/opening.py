"""Whether a primary can be asked yet: a reign opens once its first entry is confirmed and its copy is whole."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

from raylite.actors.admission import Admission
from raylite.actors.primary_transfers import Job
from raylite.actors.storage.primary_file import Ran
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import NotPrimary, StorageFull, Unreachable


class Opening:
    """That of one reign over a database, by name and id. epoch: the reign's, 0 before it has one."""

    def __init__(self, database: str, database_id: str, epoch: Callable[[], int]) -> None:
        self._database, self._database_id, self._epoch = database, database_id, epoch
        self._decided = asyncio.Event()
        self._admission: Admission | None = None
        self.problem: StorageFull | Unreachable | None = None

    def failed(self, problem: StorageFull | Unreachable) -> None:
        """It cannot open for now; it is tried again."""
        self.problem = problem
        self._decided.set()

    def succeeded(self, admission: Admission) -> None:
        """From now on queries can run."""
        self.problem, self._admission = None, admission
        self._decided.set()

    def never(self) -> None:
        """Another primary reigns: nobody need wait for this one."""
        self._decided.set()

    async def wait(self, seconds: float = limits.START_SECONDS) -> None:
        """Waits a while for a reign that is about to open: whoever finds it then need not ask again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._decided.wait()

    async def run(self, database: str, bookmark: str, seconds: float, job: Job) -> tuple[Ran, Bookmark]:
        """See `Admission.run`; raises as `_required`."""
        return await self._required(database).run(bookmark, seconds, job)

    async def run_once_open(
        self, database: str, bookmark: str, seconds: float, job: Job
    ) -> tuple[Ran, Bookmark]:
        """As `run`, for steps of transfers, which nobody sends again: a reign that begins is waited for."""
        await self.wait(min(seconds, limits.QUERY_SECONDS))
        return await self.run(database, bookmark, seconds, job)

    def admitted(self, database: str, bookmark: str) -> AbstractContextManager[None]:
        """See `Admission.admitted`; raises as `_required`."""
        return self._required(database).admitted(bookmark)

    def _required(self, database: str) -> Admission:
        """For queries about that database, by id; raises `NotPrimary`, or why this primary cannot open."""
        if self.problem is not None:
            raise self.problem
        if self._admission is None or database != self._database_id:
            raise NotPrimary(self._database, self._epoch())
        return self._admission
