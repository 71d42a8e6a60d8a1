"""`export`: a database as SQL, in a file that is fetched once it is whole.

An export that nobody asks about for a minute is given up. Its file stays for an hour after it was last asked for; one
that was fetched makes room for others before that.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from fastapi.responses import FileResponse
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import Overloaded
from raylite.router.http.endpoints import BASE, DATABASE, Endpoints
from raylite.router.http.envelope import Answered, answered
from raylite.router.http.guard import Guard, Rule, audited
from raylite.router.http.job import Job
from raylite.router.http.kept import Kept
from raylite.router.http.models import Account, DumpOptions, ExportBody, ExportState, Name
from raylite.router.http.names import plain_name
from raylite.router.http.ports import Management, Scope
from raylite.router.http.reading import Rejected
from raylite.router.http.spool import Spool
from raylite.router.moving import Exported, Watch

_ACT: Final = "export"
_SQL: Final = "application/sql"
_FILES: Final = "/d1-exports"


class Export:
    """One export. fetched: whether its file was sent."""

    def __init__(self, entry: DatabaseEntry, path: Path, job: Job[Exported], spool: Spool) -> None:
        self.entry, self.path, self.job, self._spool = entry, path, job, spool
        self.fetched = False

    @property
    def busy(self) -> bool:
        """Never: what nobody waits for is not needed."""
        return False

    @property
    def spare(self) -> bool:
        """Once its file was fetched."""
        return self.fetched

    @property
    def seconds(self) -> float:
        """How long its file waits to be fetched, or it for questions."""
        return limits.HTTP_FILE_SECONDS if self.job.status == "complete" else limits.HTTP_POLL_SECONDS

    def drop(self) -> None:
        """Stops it and removes its file."""
        self.job.task.cancel()
        self.job.task.add_done_callback(lambda _: self._spool.remove(self.path))


class Exports:
    """The endpoint, and where the files are fetched."""

    def __init__(self, management: Management, guard: Guard, spool: Spool) -> None:
        self._management, self._guard, self._spool = management, guard, spool
        self._kept: Kept[Export] = Kept("export")

    def add_to(self, endpoints: Endpoints) -> None:
        """Adds them."""
        rule = Rule(Scope.READ, _ACT, refusals_only=True)
        endpoints.add("POST", f"{DATABASE}/export", self.export_database, rule, Answered[ExportState])
        endpoints.add("GET", f"{_FILES}/{{key}}", self.fetch_export, Rule(None), signed=True, bytes_out=_SQL)

    def close(self) -> None:
        """Drops all."""
        self._kept.clear()

    async def export_database(
        self, request: Request, account: Account, database: Name, body: ExportBody
    ) -> Response:
        """Begins an export, or says how far one is."""
        entry = await self._management.lookup(plain_name(database))
        key = body.current_bookmark or await self._begin(request, entry, body.dump_options or DumpOptions())
        found = self._of(entry, key)
        await found.job.wait()
        self._kept.touch(key)
        return answered(_state(found, key, str(request.base_url)))

    async def fetch_export(self, key: str) -> Response:
        """The file."""
        found = self._kept.get(key)
        if found.job.status != "complete":
            raise Rejected(404, "this file is not complete. Ask how far its export is.")

        async def fetched() -> None:  # on the event loop: a function would run on a thread
            found.fetched = True

        return FileResponse(
            found.path,
            headers={"cache-control": "no-store"},
            media_type=_SQL,
            filename=_name(found.entry),
            background=BackgroundTask(fetched),
        )

    async def _begin(self, request: Request, entry: DatabaseEntry, options: DumpOptions) -> str:
        database, who = await self._management.open(entry.database_id), await self._guard.who(request)
        path = await self._place()

        async def work(watch: Watch) -> Exported:
            with audited(who, _ACT, entry.name):
                return await database.export(
                    path,
                    kind="sql",
                    tables=options.tables,
                    schema=not options.no_schema,
                    data=not options.no_data,
                    progress=watch,
                )

        return self._kept.add(lambda: Export(entry, path, self._spool.begin(work), self._spool))

    async def _place(self) -> Path:
        """Of a new file; those that were fetched give way to it if they must."""
        try:
            return await self._spool.place()
        except Overloaded:
            while self._kept.give_way():
                pass
            await asyncio.sleep(0)  # a task's callbacks run at the loop's next turn
            await self._spool.removed()
            return await self._spool.place()

    def _of(self, entry: DatabaseEntry, key: str) -> Export:
        found = self._kept.get(key)
        if found.entry.database_id != entry.database_id:
            raise Rejected(404, "this export is of another database.")
        return found


def _state(export: Export, key: str, base: str) -> dict[str, object]:
    state: dict[str, object] = {
        "success": True,
        "type": "export",
        "status": export.job.status,
        "at_bookmark": key,
        "messages": export.job.messages(),
        "error": export.job.problem,
    }
    if export.job.status == "complete":
        url = f"{base.rstrip('/')}{BASE}{_FILES}/{key}"
        state["result"] = {"filename": _name(export.entry), "signed_url": url}
    return state


def _name(entry: DatabaseEntry) -> str:
    return f"{entry.name}.sql"
