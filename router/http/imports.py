"""`import`: a file is put here, and then applied by the database's primary in one transaction.

A file that waits to be put or applied goes after an hour. An import that has begun goes on to its end, asked for or
not, and is remembered for a minute after it was last asked about.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from raylite.actors import audit
from raylite.actors.storage.spool import translated
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import Error
from raylite.router.client import AsyncDatabase
from raylite.router.http.endpoints import BASE, DATABASE, Endpoints
from raylite.router.http.envelope import Answered, answered
from raylite.router.http.guard import Guard, Rule
from raylite.router.http.job import Job
from raylite.router.http.kept import Kept
from raylite.router.http.models import ImportBody, ImportState, Ingest, Init, Poll, UploadPlace
from raylite.router.http.names import plain_name
from raylite.router.http.ports import Management, Scope
from raylite.router.http.reading import Rejected, parts_of
from raylite.router.http.spool import Spool
from raylite.router.moving import ImportedFile, Watch

_FILES: Final = "/d1-uploads"
_BUFFER: Final = 1 << 20


class Applied(msgspec.Struct, frozen=True):
    """A file that was. duration_ms: all that it took; size_after: of the database in bytes, 0 if it did not say."""

    file: ImportedFile
    duration_ms: float
    size_after: int


class Upload:
    """One file. etag: the MD5 that it must have; writing: it is coming; ready: it is here; job: it is being applied."""

    def __init__(self, entry: DatabaseEntry, etag: str, path: Path) -> None:
        self.entry, self.etag, self.path = entry, etag, path
        self.writing = self.ready = False
        self.job: Job[Applied] | None = None

    @property
    def busy(self) -> bool:
        """While somebody works on the file."""
        return self.writing or (self.job is not None and not self.job.task.done())

    @property
    def seconds(self) -> float:
        """How long it waits for the file or for being applied, or it is remembered."""
        return limits.HTTP_FILE_SECONDS if self.job is None else limits.HTTP_POLL_SECONDS

    def drop(self) -> None:
        """Removes the file, unless somebody works on it, who will."""
        if not self.busy:
            self.path.unlink(missing_ok=True)


class Imports:
    """The endpoint, and where files are put."""

    def __init__(self, management: Management, guard: Guard, spool: Spool) -> None:
        self._management, self._guard, self._spool = management, guard, spool
        self._kept: Kept[Upload] = Kept("import", limits.HTTP_TRANSFERS)

    def add_to(self, endpoints: Endpoints) -> None:
        """Adds them."""
        endpoints.add(
            "POST",
            f"{DATABASE}/import",
            self.import_,
            Rule(Scope.ADMIN),
            Answered[ImportState | UploadPlace],
        )
        endpoints.add("PUT", f"{_FILES}/{{key}}", self.put, Rule(None, most=0), signed=True)

    def close(self) -> None:
        """Drops all."""
        self._kept.clear()

    async def import_(self, request: Request, account: str, database: str, body: ImportBody) -> Response:
        """Asks where to put a file, has it applied, or says how far that is."""
        entry = await self._management.lookup(plain_name(database))
        if isinstance(body, Init):
            return answered(await self._place(entry, body, str(request.base_url)))
        if isinstance(body, Ingest):
            return answered(await self._ingest(entry, body, await self._guard.who(request)))
        return answered(await self._poll(entry, body))

    async def put(self, request: Request, key: str) -> Response:
        """Takes the file, the body of the request; answers its MD5 as ETag."""
        upload = self._kept.get(key)
        if upload.writing or upload.job is not None:
            raise Rejected(400, "this file is being put already, or was applied.")
        upload.writing, upload.ready = True, False
        try:
            await _receive(request, upload)
            upload.ready = True
        finally:
            upload.writing = False
            if not upload.ready:
                await asyncio.to_thread(upload.path.unlink, missing_ok=True)
        self._kept.touch(key)
        return Response(headers={"etag": f'"{upload.etag}"'})

    async def _place(self, entry: DatabaseEntry, body: Init, base: str) -> dict[str, str]:
        key = self._kept.add(Upload(entry, body.etag.lower(), await self._spool.place()))
        return {"filename": key, "upload_url": f"{base.rstrip('/')}{BASE}{_FILES}/{key}"}

    async def _ingest(self, entry: DatabaseEntry, body: Ingest, who: str) -> dict[str, object]:
        """Begins once, however often it is asked for."""
        upload = self._of(entry, body.filename)
        if upload.etag != body.etag.lower():
            raise Rejected(400, "the file has another etag. Nothing was applied.")
        if upload.job is None:
            if not upload.ready:
                raise Rejected(400, "the file was not put yet. Nothing was applied.")
            database = await self._management.open(entry.database_id)
            upload.job = upload.job or self._spool.begin(lambda watch: _apply(database, upload, who, watch))
        return await self._state(upload, upload.job, body.filename)

    async def _poll(self, entry: DatabaseEntry, body: Poll) -> dict[str, object]:
        upload = self._of(entry, body.current_bookmark)
        if upload.job is None:
            raise Rejected(400, "nobody has asked for this file to be applied.")
        return await self._state(upload, upload.job, body.current_bookmark)

    async def _state(self, upload: Upload, job: Job[Applied], key: str) -> dict[str, object]:
        await job.wait()
        self._kept.touch(key)
        error = job.error
        state: dict[str, object] = {
            "success": True,
            "type": "import",
            "status": job.status,
            "at_bookmark": key,
            "messages": job.messages(),
            "errors": [] if error is None else [str(error)],
            "error": None if error is None else str(error),
        }
        if job.status == "complete":
            state["result"] = _result(job.task.result())
        return state

    def _of(self, entry: DatabaseEntry, key: str) -> Upload:
        found = self._kept.get(key)
        if found.entry.database_id != entry.database_id:
            raise Rejected(404, "this file is for another database.")
        return found


async def _receive(request: Request, upload: Upload) -> None:
    """Writes the body into the file; raises `Rejected` unless it has the MD5 that was said."""
    digest = hashlib.md5(usedforsecurity=False)
    with translated(upload.path):
        file = await asyncio.to_thread(upload.path.open, "wb", buffering=_BUFFER)
        try:
            async for part in parts_of(request, limits.HTTP_UPLOAD_BYTES):
                digest.update(part)
                await asyncio.to_thread(file.write, part)
        finally:
            await asyncio.to_thread(file.close)
    if digest.hexdigest() != upload.etag:
        raise Rejected(400, f"the file has MD5 {digest.hexdigest()}, not {upload.etag}. Put it again.")


async def _apply(database: AsyncDatabase, upload: Upload, who: str, watch: Watch) -> Applied:
    """Has the primary apply the file, which is removed then."""
    outcome, began = "it was stopped, and may have been done", time.perf_counter()
    try:
        found = await database.import_file(upload.path, progress=watch)
        outcome = audit.DONE
    except Error as error:
        outcome = str(error)
        raise
    finally:
        audit.write(audit.Act(who, "import", database.name, outcome))
        await asyncio.to_thread(upload.path.unlink, missing_ok=True)
    return Applied(found, 1000 * (time.perf_counter() - began), await _size(database))


async def _size(database: AsyncDatabase) -> int:
    with contextlib.suppress(Error):  # the import is done, whatever becomes of this
        return (await database.prepare("SELECT 1").all()).meta.size_after
    return 0


def _result(applied: Applied) -> dict[str, object]:
    meta = {
        "served_by": applied.file.served_by,
        "duration": applied.duration_ms,
        "changes": 0,
        "last_row_id": 0,
        "changed_db": True,
        "size_after": applied.size_after,
        "rows_read": 0,
        "rows_written": 0,
    }
    return {"final_bookmark": applied.file.bookmark, "num_queries": applied.file.statements, "meta": meta}
