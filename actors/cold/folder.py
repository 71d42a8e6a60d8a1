"""The store port over a local folder: `obstore`, and the syncs that it leaves out.

An object gets its name by a hard link, which is create-only, when its bytes are synced already; then its folder is
synced. So a name that exists after a power failure has all its bytes. What was in the making lies in `tmp/`, which
no listing of objects shows.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from pathlib import Path
from typing import Final

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore

from raylite.actors.cold.object_store import SCHEMES, ObjectStore, open_remote, translated
from raylite.actors.cold.store import Store
from raylite.policies.errors import ParameterError, StorageFailed
from raylite.policies.limits import COLD_CALL_SECONDS, COLD_LEFTOVER_SECONDS

TEMPORARY: Final = "tmp"


class FolderSyncs:
    """The syncs of a folder store: a port, so that a test can count and fail them. Raise OSError."""

    def file(self, path: Path) -> None:
        """The file's bytes are durable on return."""
        _sync(path, os.O_RDONLY)

    def folder(self, path: Path) -> None:
        """The names in that folder are durable on return."""
        _sync(path, os.O_RDONLY | os.O_DIRECTORY)


class FolderStore(ObjectStore):
    """See `Store`. The folder is made if there is none.

    After a failed sync of a folder nobody knows what it holds: this store takes nothing more (`StorageFailed`).
    """

    def __init__(
        self, path: Path, seconds: float = COLD_CALL_SECONDS, syncs: FolderSyncs | None = None
    ) -> None:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._local = LocalStore(path)
        except OSError as error:
            raise translated(str(path), error) from error
        super().__init__(str(path), self._local, seconds)
        self._path = path
        self._syncs = syncs or FolderSyncs()
        self._lock = threading.Lock()
        self._durable: set[Path] = set()
        self._failed = ""
        self._run(self._clean)

    def put(self, name: str, data: bytes) -> bool:
        """See `Store.put`."""
        if self._failed:
            raise StorageFailed(f"cold storage {self.address}", self._failed)
        return self._run(lambda: self._put(name, data))

    def _put(self, name: str, data: bytes) -> bool:
        temporary = f"{TEMPORARY}/{secrets.token_hex(8)}"
        with contextlib.ExitStack() as undo:
            undo.callback(_discard, self._path / temporary)
            obstore.put(self._local, temporary, data, mode="create", use_multipart=False)
            self._syncs.file(self._path / temporary)
            self._make_folder((self._path / name).parent)
            made = self._name(temporary, name)
            undo.pop_all()
        self._sync_names((self._path / name).parent)
        return made

    def _name(self, temporary: str, name: str) -> bool:
        try:
            obstore.rename(self._local, temporary, name, overwrite=False)
        except AlreadyExistsError:
            (self._path / temporary).unlink(missing_ok=True)
            return False
        return True

    def _make_folder(self, folder: Path) -> None:
        """The folder and those above it, up to the store's, exist durably."""
        if folder in self._durable or folder == self._path:
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        self._sync_names(folder.parent)
        with self._lock:
            self._durable.add(folder)

    def _sync_names(self, folder: Path) -> None:
        try:
            self._syncs.folder(folder)
        except OSError as error:
            self._failed = f"a sync of {folder} failed: {error}"
            raise StorageFailed(f"cold storage {self.address}", self._failed) from error

    def _clean(self) -> None:
        """Removes what was in the making so long ago that nobody makes it any more."""
        folder = self._path / TEMPORARY
        if not folder.is_dir():
            return
        for path in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - COLD_LEFTOVER_SECONDS:
                    path.unlink()


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_store(address: str, seconds: float = COLD_CALL_SECONDS) -> Store:
    """The store at a folder's absolute path, or at an `s3://`, `gs://` or `az://` URL.

    Raises `ParameterError` for any other address, `NotAllowed` or `Unreachable` if a folder cannot be made.
    """
    scheme, separator, _ = address.partition("://")
    if separator and scheme in SCHEMES:
        return open_remote(address, seconds)
    if separator or not Path(address).is_absolute():
        schemes = ", ".join(f"{one}://" for one in SCHEMES)
        raise ParameterError(f"{address} is no place for cold storage: give an absolute path, or {schemes}")
    return FolderStore(Path(address), seconds)


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
