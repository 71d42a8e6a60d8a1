"""Exports and imports of a primary: what they do to its copy goes the way of queries, gate and all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack

from raylite.actors.exporting import Exports, Taken
from raylite.actors.importing import Imports
from raylite.actors.storage.engine_adopt import Load
from raylite.actors.storage.primary_file import PrimaryFile, Ran
from raylite.actors.storage.spool import Spool
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Error, Unreachable
from raylite.policies.transfer import CloseTransfer, OpenExport, ReadExport, TransferReply, TransferRequest

Job = Callable[[PrimaryFile, float, Error | None], Ran]
"""Work on the database's thread: on that file, within these seconds, writing only without a refusal."""
Run = Callable[[str, str, float, Job], Awaitable[tuple[Ran, Bookmark]]]
"""Runs a job for a database and a bookmark within these seconds: what it did, and its bookmark, once confirmed."""


class PrimaryTransfers:
    """Those of one primary. name, region: its own."""

    def __init__(self, name: str, region: str, spool: Spool, run: Run) -> None:
        self._name, self._run = name, run
        self._exports = Exports(name, spool, self._snapshot)
        self._imports = Imports(name, region, spool, self._load)

    def answer(self, request: TransferRequest) -> Awaitable[TransferReply | None]:
        """One step of an import or export."""
        if self._imports.holds(request):
            return self._imports.answer(request)
        if isinstance(request, OpenExport | ReadExport | CloseTransfer):
            return self._exports.answer(request)
        raise Unreachable(self._name, "it does not know this import any more")

    async def stop(self) -> None:
        """Ends what is under way."""
        await self._exports.stop()
        await self._imports.stop()

    async def _load(self, database: str, load: Load, seconds: float) -> str:
        """Applies a whole file; its bookmark once it is confirmed, or its error once that may be told."""

        def job(file: PrimaryFile, left: float, refusal: Error | None) -> Ran:
            return file.load(load, left, refusal)

        ran, mark = await self._run(database, "", seconds, job)
        if ran.execution.error is not None:
            raise ran.execution.error
        return str(mark)

    async def _snapshot(self, request: OpenExport) -> Taken:
        return await take(self._run, request.database, request.bookmark)


async def take(run: Run, database: str, bookmark: str) -> Taken:
    """The state of a primary's copy, once it is confirmed; whoever asked closes the snapshot."""
    with ExitStack() as stack:
        taken: list[Taken] = []

        def job(file: PrimaryFile, _seconds: float, _refusal: Error | None) -> Ran:
            snapshot, ran = file.snapshot()
            stack.callback(snapshot.close)
            taken.append(Taken(snapshot, ran.mark))
            return ran

        await run(database, bookmark, limits.QUERY_SECONDS, job)
        stack.pop_all()
    return taken[0]
