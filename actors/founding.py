"""What a system is known by, on disk: made once, never again (docs/formats.md, Data directory)."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from typing import TypeVar

import msgspec

from raylite.policies.errors import Corrupt, Unreachable
from raylite.policies.quorum import Members
from raylite.policies.system import RECORD_VERSION, SystemRecord

T = TypeVar("T")


class DataDirectory:
    """A system's directory on one node: `system.json`, `registry.json`, `followers/`, `databases/`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def own(self) -> None:
        """Become its one owner until this process ends; raises `Unreachable` if another process is."""
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise Unreachable(
                str(self.path), "another process owns this data directory and cannot be joined"
            ) from None
        self._lock = descriptor

    def disown(self) -> None:
        """Let another process own it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def record(self) -> SystemRecord:
        """The system's record, made if this directory has none."""
        found = self._read("system.json", SystemRecord)
        if found is None:
            made = SystemRecord(
                RECORD_VERSION, secrets.token_hex(16), secrets.token_hex(16), secrets.token_hex(32)
            )
            self._create("system.json", msgspec.json.encode(made))
            found = made
        if found.version != RECORD_VERSION:
            reason = f"it has version {found.version}, this raylite reads {RECORD_VERSION}"
            raise Corrupt("a data directory", str(self.path / "system.json"), reason)
        return found

    def registry_members(self) -> Members | None:
        """The first members of the registry's database, None before they are chosen."""
        return self._read("registry.json", Members)

    def set_registry_members(self, members: Members) -> None:
        """Writes them, once and for all."""
        self._create("registry.json", msgspec.json.encode(members))

    def follower_indexes(self) -> tuple[int, ...]:
        """The followers whose directories are on this node's disk."""
        folder = self.path / "followers"
        names = [one.name for one in folder.iterdir()] if folder.is_dir() else []
        return tuple(sorted(int(name) for name in names if name.isdecimal()))

    def _read(self, name: str, kind: type[T]) -> T | None:
        path = self.path / name
        if not path.exists():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except msgspec.MsgspecError as error:
            raise Corrupt("a data directory", str(path), str(error)) from error

    def _create(self, name: str, data: bytes) -> None:
        """Writes a file that must not exist, whole or not at all, and syncs it."""
        temporary = self.path / f".{name}.{secrets.token_hex(4)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, self.path / name)
        temporary.unlink()
        folder = os.open(self.path, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
