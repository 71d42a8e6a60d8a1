"""What a system is known by, on disk: made once, never again (docs/formats.md, Data directory).

The directory of whoever founds a system has the original; every node with a follower gets a copy, so that the system
can be started from any of them.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from raylite.actors.storage.log_directory import OWNER, Owner
from raylite.policies.errors import Corrupt, ForeignDirectory, Unreachable
from raylite.policies.quorum import Members
from raylite.policies.system import RECORD_VERSION, SystemRecord

T = TypeVar("T")


class Journal(msgspec.Struct, frozen=True):
    """A follower's directory on a disk. inode: two names of one directory on one machine have the same."""

    number: int
    system_id: str
    path: str
    inode: str


class Holding(msgspec.Struct, frozen=True):
    """What a node's data directory has of a system.

    members: first ones of the registry's database; next_follower: no follower has this number or a higher one, as far
    as this directory knows.
    """

    record: SystemRecord | None = None
    members: Members | None = None
    next_follower: int = 0
    journals: tuple[Journal, ...] = ()


class _Numbers(msgspec.Struct, frozen=True):
    """`followers.json`."""

    next: int


class DataDirectory:
    """A system's directory on one node: `system.json`, `registry.json`, `cold.json`, `followers/`, `databases/`."""

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

    def record(self, elsewhere: Iterable[Holding] = ()) -> SystemRecord:
        """The system's record: this directory's, else a copy's on another node, else a new one.

        elsewhere: what the nodes have. Raises `ForeignDirectory` if any of it is another system's.
        """
        holdings = tuple(elsewhere)
        copies = [one.record for one in (self.holding(), *holdings) if one.record is not None]
        record = copies[0] if copies else _new_record()
        for copy in copies:
            if copy != record:
                ours, theirs = f"system {record.system_id}", f"system {copy.system_id}"
                raise ForeignDirectory(f"{self.path} of a node", theirs, ours)
        for journal in (one for holding in holdings for one in holding.journals):
            if journal.system_id != record.system_id:
                theirs = f"follower {journal.number} of system {journal.system_id}"
                raise ForeignDirectory(journal.path, theirs, f"system {record.system_id}")
        members = next((one.members for one in holdings if one.members is not None), None)
        self.keep(record, members, max((one.next_follower for one in holdings), default=0))
        return record

    def keep(self, record: SystemRecord, members: Members | None, next_follower: int) -> None:
        """Has the record, and the members if there are any, from here on; raises `ForeignDirectory`.

        next_follower: followers with lower numbers may exist from here on.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            self._create("system.json", msgspec.json.encode(record))
        found = self._read_record()
        if found != record:
            owner = f"system {found.system_id}" if found else "nobody"
            raise ForeignDirectory(str(self.path), owner, f"system {record.system_id}")
        if members is not None:
            with suppress(FileExistsError):
                self.set_registry_members(members)
        if next_follower > self._next_follower():
            self._replace("followers.json", msgspec.json.encode(_Numbers(next_follower)))

    def holding(self) -> Holding:
        """What there is; raises `Corrupt`."""
        return Holding(self._read_record(), self.registry_members(), self._next_follower(), self._journals())

    def _read_record(self) -> SystemRecord | None:
        found = self._read("system.json", SystemRecord)
        if found is not None and found.version != RECORD_VERSION:
            reason = f"it has version {found.version}, this raylite reads {RECORD_VERSION}"
            raise Corrupt("a data directory", str(self.path / "system.json"), reason)
        return found

    def registry_members(self) -> Members | None:
        """The first members of the registry's database, None before they are chosen."""
        return self._read("registry.json", Members)

    def set_registry_members(self, members: Members) -> None:
        """Writes them, once and for all."""
        self._create("registry.json", msgspec.json.encode(members))

    def cold(self) -> str:
        """Where cold storage is, "" before that was chosen."""
        return self._read("cold.json", str) or ""

    def set_cold(self, address: str) -> None:
        """Remembers where cold storage is from here on."""
        self._replace("cold.json", msgspec.json.encode(address))

    def set_aside(self, system_id: str) -> None:
        """Moves all that is here of that system, but cold storage, into a new folder beside it; nothing is deleted.

        Cut anywhere, the next call moves the rest: what says whose it is goes last.
        """
        found = self.holding()
        if system_id not in {one.system_id for one in (found.record, *found.journals) if one is not None}:
            return
        folder = self.path / f"aside-{system_id}-{secrets.token_hex(4)}"
        folder.mkdir()
        for name in ("databases", "registry.json", "followers.json", "followers", "system.json"):
            if (self.path / name).exists():
                (self.path / name).rename(folder / name)
                self._sync()

    def _next_follower(self) -> int:
        found = self._read("followers.json", _Numbers)
        return found.next if found else 0

    def _journals(self) -> tuple[Journal, ...]:
        """The followers whose journals are here. One that was never opened has no owner yet, and holds nothing."""
        folder = self.path / "followers"
        names = sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []
        found = [_journal(folder / name, int(name)) for name in names if name.isdecimal()]
        return tuple(one for one in found if one is not None)

    def _read(self, name: str, kind: type[T]) -> T | None:
        path = self.path / name
        if not path.exists():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except (ValueError, RecursionError) as error:
            raise Corrupt("a data directory", str(path), str(error)) from error

    def _create(self, name: str, data: bytes) -> None:
        """Writes a file that must not exist, whole or not at all, and syncs it; raises `FileExistsError`."""
        temporary = self._write(name, data)
        try:
            os.link(temporary, self.path / name)
        finally:
            temporary.unlink()
        self._sync()

    def _replace(self, name: str, data: bytes) -> None:
        self._write(name, data).rename(self.path / name)
        self._sync()

    def _write(self, name: str, data: bytes) -> Path:
        """A synced file beside `name`."""
        temporary = self.path / f".{name}.{secrets.token_hex(4)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return temporary

    def _sync(self) -> None:
        folder = os.open(self.path, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def _new_record() -> SystemRecord:
    return SystemRecord(RECORD_VERSION, secrets.token_hex(16), secrets.token_hex(16), secrets.token_hex(32))


def _journal(path: Path, number: int) -> Journal | None:
    """The journal in a follower's directory; None if it has no owner yet, raises `Corrupt` if that is unreadable."""
    try:
        owner = msgspec.json.decode((path / OWNER).read_bytes(), type=Owner)
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise Corrupt("a journal's directory", str(path / OWNER), str(error)) from error
    stat = path.stat()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return Journal(number, owner.system_id, str(path), f"{boot}/{stat.st_dev}/{stat.st_ino}")
