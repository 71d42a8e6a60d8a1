"""`export`: a database as SQL, in a file that is fetched once it is whole.

An export that nobody asks about for a minute is given up. Its file stays an hour, or a minute once it was fetched.
"""

from __future__ import annotations

from pathlib import Path

from fastapi.responses import FileResponse
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry
from raylite.router.http.endpoints import BASE, DATABASE, Endpoints
from raylite.router.http.envelope import Answered, answered
from raylite.router.http.guard import Rule
from raylite.router.http.job import Job
from raylite.router.http.kept import Kept
from raylite.router.http.models import DumpOptions, ExportBody, ExportState
from raylite.router.http.names import plain_name
from raylite.router.http.ports import Management, Scope
from raylite.router.http.reading import Rejected
from raylite.router.http.spool import Spool
from raylite.router.moving import Exported, Watch

_FILES = "/d1-exports"


class Export:
    """One export. fetched: whether its file was sent."""

    def __init__(self, entry: DatabaseEntry, path: Path, job: Job[Exported]) -> None:
        self.entry, self.path, self.job = entry, path, job
        self.fetched = False

    @property
    def busy(self) -> bool:
        """Never: what nobody waits for is not needed."""
        return False

    @property
    def seconds(self) -> float:
        """How long its file waits to be fetched, or it for questions."""
        waits = self.job.status == "complete" and not self.fetched
        return limits.HTTP_FILE_SECONDS if waits else limits.HTTP_POLL_SECONDS

    def drop(self) -> None:
        """Stops it and removes its file."""
        self.job.task.cancel()
        self.job.task.add_done_callback(lambda _: self.path.unlink(missing_ok=True))


class Exports:
    """The endpoint, and where the files are fetched."""

    def __init__(self, management: Management, spool: Spool) -> None:
        self._management, self._spool = management, spool
        self._kept: Kept[Export] = Kept("export", limits.HTTP_TRANSFERS)

    def add_to(self, endpoints: Endpoints) -> None:
        """Adds them."""
        endpoints.add(
            "POST", f"{DATABASE}/export", self.export, Rule(Scope.READ, "export"), Answered[ExportState]
        )
        endpoints.add("GET", f"{_FILES}/{{key}}", self.fetch, Rule(None), signed=True)

    def close(self) -> None:
        """Drops all."""
        self._kept.clear()

    async def export(self, request: Request, account: str, database: str, body: ExportBody) -> Response:
        """Begins an export, or says how far one is."""
        entry = await self._management.lookup(plain_name(database))
        key = body.current_bookmark or await self._begin(entry, body.dump_options or DumpOptions())
        found = self._of(entry, key)
        await found.job.wait()
        self._kept.touch(key)
        return answered(_state(found, key, str(request.base_url)))

    async def fetch(self, key: str) -> Response:
        """The file."""
        found = self._kept.get(key)
        if found.job.status != "complete":
            raise Rejected(404, "this file is not complete. Ask how far its export is.")

        def fetched() -> None:
            found.fetched = True
            self._kept.touch(key)

        return FileResponse(
            found.path,
            media_type="application/sql",
            filename=_name(found.entry),
            background=BackgroundTask(fetched),
        )

    async def _begin(self, entry: DatabaseEntry, options: DumpOptions) -> str:
        database = await self._management.open(entry.database_id)
        path = await self._spool.place()

        async def work(watch: Watch) -> Exported:
            return await database.export(
                path,
                kind="sql",
                tables=options.tables,
                schema=not options.no_schema,
                data=not options.no_data,
                progress=watch,
            )

        export = Export(entry, path, self._spool.begin(work))
        try:
            return self._kept.add(export)
        except BaseException:
            export.drop()
            raise

    def _of(self, entry: DatabaseEntry, key: str) -> Export:
        found = self._kept.get(key)
        if found.entry.database_id != entry.database_id:
            raise Rejected(404, "this export is of another database.")
        return found


def _state(export: Export, key: str, base: str) -> dict[str, object]:
    error = export.job.error
    state: dict[str, object] = {
        "success": True,
        "type": "export",
        "status": export.job.status,
        "at_bookmark": key,
        "messages": export.job.messages(),
        "error": None if error is None else str(error),
    }
    if export.job.status == "complete":
        url = f"{base.rstrip('/')}{BASE}{_FILES}/{key}"
        state["result"] = {"filename": _name(export.entry), "signed_url": url}
    return state


def _name(entry: DatabaseEntry) -> str:
    return f"{entry.name}.sql"
