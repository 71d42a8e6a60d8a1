"""`import`: a file is put here, and then applied by the database's primary in one transaction.

A file has an hour to be put, and goes an hour after it was last asked for if nobody has it applied. An import that
has begun goes on to its end, asked for or not, and is remembered for a minute after it was last asked about.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from raylite.actors.storage.spool import translated
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry
from raylite.router.client import AsyncDatabase
from raylite.router.http.endpoints import BASE, DATABASE, Endpoints
from raylite.router.http.envelope import Answered, answered
from raylite.router.http.guard import Guard, Rule, audited
from raylite.router.http.job import Job
from raylite.router.http.kept import Kept
from raylite.router.http.models import Account, ImportBody, ImportState, Ingest, Init, Name, Poll, UploadPlace
from raylite.router.http.names import plain_name
from raylite.router.http.ports import Management, Scope
from raylite.router.http.reading import Rejected, blocks_of, parts_of
from raylite.router.http.spool import Spool
from raylite.router.moving import ImportedFile, Watch

_ACT: Final = "import"
_FILES: Final = "/d1-uploads"
_BLOCK_BYTES: Final = 1 << 20
"""A thread's work at a time."""


class Applied(msgspec.Struct, frozen=True):
    """A file that was. duration_ms: all that it took."""

    file: ImportedFile
    duration_ms: float


class Upload:
    """One file. etag: the MD5 that it must have; writing: it is coming; ready: it is here; job: it is being applied."""

    def __init__(self, entry: DatabaseEntry, etag: str, path: Path, spool: Spool) -> None:
        self.entry, self.etag, self.path, self._spool = entry, etag, path, spool
        self.writing = self.ready = False
        self.job: Job[Applied] | None = None

    @property
    def busy(self) -> bool:
        """While somebody works on the file."""
        return self.writing or (self.job is not None and not self.job.task.done())

    @property
    def spare(self) -> bool:
        """Never: somebody may still want to know how it ended."""
        return False

    @property
    def seconds(self) -> float:
        """How long it waits for the file or for being applied, or it is remembered."""
        return limits.HTTP_FILE_SECONDS if self.job is None else limits.HTTP_POLL_SECONDS

    def drop(self) -> None:
        """Removes the file, unless somebody works on it, who will."""
        if not self.busy:
            self._spool.remove(self.path)


class Imports:
    """The endpoint, and where files are put."""

    def __init__(self, management: Management, guard: Guard, spool: Spool) -> None:
        self._management, self._guard, self._spool = management, guard, spool
        self._kept: Kept[Upload] = Kept("import")

    def add_to(self, endpoints: Endpoints) -> None:
        """Adds them."""
        rule, answers = Rule(Scope.ADMIN, _ACT, refusals_only=True), Answered[ImportState | UploadPlace]
        endpoints.add("POST", f"{DATABASE}/import", self.import_database, rule, answers)
        place, put = f"{_FILES}/{{key}}", Rule(None, most=0)
        endpoints.add("PUT", place, self.put_upload, put, signed=True, bytes_in="application/octet-stream")

    def close(self) -> None:
        """Drops all."""
        self._kept.clear()

    async def import_database(
        self, request: Request, account: Account, database: Name, body: ImportBody
    ) -> Response:
        """Asks where to put a file, has it applied, or says how far that is."""
        entry = await self._management.lookup(plain_name(database))
        match body:
            case Poll():
                return answered(await self._poll(entry, body))
            case Ingest():
                key = body.filename
            case Init():
                found = self._waiting(entry, body.etag)
                if found is None:
                    return answered(await self._place(entry, body, str(request.base_url)))
                key = found
        return answered(await self._ingest(entry, key, body.etag, await self._guard.who(request)))

    async def put_upload(self, request: Request, key: str) -> Response:
        """Takes the file, the body of the request; answers its MD5 as ETag."""
        upload = self._kept.get(key)
        if upload.writing or upload.job is not None:
            raise Rejected(400, "this file is being put already, or was applied.")
        upload.writing, upload.ready = True, False
        try:
            await _receive(request, upload)
            upload.ready = True
        finally:
            if not upload.ready:
                await asyncio.to_thread(upload.path.unlink, missing_ok=True)
            upload.writing = False
        self._kept.touch(key)
        return Response(headers={"etag": f'"{upload.etag}"'})

    async def _place(self, entry: DatabaseEntry, body: Init, base: str) -> dict[str, str]:
        path = await self._spool.place()
        key = self._kept.add(lambda: Upload(entry, body.etag.lower(), path, self._spool))
        return {"filename": key, "upload_url": f"{base.rstrip('/')}{BASE}{_FILES}/{key}"}

    def _waiting(self, entry: DatabaseEntry, etag: str) -> str | None:
        """The key of such a file for this database that is here, and that nobody has had applied."""

        def waits(one: Upload) -> bool:
            same = (one.entry.database_id, one.etag) == (entry.database_id, etag.lower())
            return same and one.ready and one.job is None

        return self._kept.find(waits)

    async def _ingest(self, entry: DatabaseEntry, key: str, etag: str, who: str) -> dict[str, object]:
        """Begins once, however often it is asked for."""
        database = await self._management.open(entry.database_id)
        upload = self._of(entry, key)
        if upload.etag != etag.lower():
            raise Rejected(400, "the file has another etag. Nothing was applied.")
        # From here to the job nothing is awaited: meanwhile the file could be put again.
        if upload.job is None:
            if not upload.ready:
                raise Rejected(400, "the file was not put yet. Nothing was applied.")
            upload.job = self._spool.begin(lambda watch: _apply(database, upload, who, watch))
        return await self._state(upload, upload.job, key)

    async def _poll(self, entry: DatabaseEntry, body: Poll) -> dict[str, object]:
        upload = self._of(entry, body.current_bookmark)
        if upload.job is None:
            raise Rejected(400, "nobody has asked for this file to be applied.")
        return await self._state(upload, upload.job, body.current_bookmark)

    async def _state(self, upload: Upload, job: Job[Applied], key: str) -> dict[str, object]:
        await job.wait()
        self._kept.touch(key)
        problem = job.problem
        state: dict[str, object] = {
            "success": True,
            "type": "import",
            "status": job.status,
            "at_bookmark": key,
            "messages": job.messages(),
            "errors": [] if problem is None else [problem],
            "error": problem,
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
    """Writes the body into the file; raises `Rejected` unless it has the MD5 that was said, and comes in time."""
    digest = hashlib.md5(usedforsecurity=False)

    def write(block: bytes) -> None:
        digest.update(block)
        file.write(block)

    with translated(upload.path):
        file = await asyncio.to_thread(upload.path.open, "wb")
        try:
            async with asyncio.timeout(limits.HTTP_FILE_SECONDS):
                async for block in blocks_of(parts_of(request, limits.HTTP_UPLOAD_BYTES), _BLOCK_BYTES):
                    await asyncio.to_thread(write, block)
        except TimeoutError:
            raise Rejected(408, "the file did not arrive in time. Put it again.") from None
        finally:
            await asyncio.to_thread(file.close)
    if digest.hexdigest() != upload.etag:
        raise Rejected(400, f"the file has MD5 {digest.hexdigest()}, not {upload.etag}. Put it again.")


async def _apply(database: AsyncDatabase, upload: Upload, who: str, watch: Watch) -> Applied:
    """Has the primary apply the file, which is removed then."""
    began = time.perf_counter()
    try:
        with audited(who, _ACT, upload.entry.name):
            found = await database.import_file(upload.path, progress=watch)
    finally:
        await asyncio.to_thread(upload.path.unlink, missing_ok=True)
    return Applied(found, 1000 * (time.perf_counter() - began))


def _result(applied: Applied) -> dict[str, object]:
    file = applied.file
    meta = {
        "served_by": file.served_by,
        "served_by_region": file.region.upper(),
        "served_by_primary": True,
        "duration": applied.duration_ms,
        "changes": file.changes,
        "last_row_id": file.last_row_id,
        "changed_db": True,
        "size_after": file.size_after,
        "rows_read": file.rows_read,
        "rows_written": file.changes,
    }
    return {"final_bookmark": file.bookmark, "num_queries": file.statements, "meta": meta}
