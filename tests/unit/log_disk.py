"""A disk in memory behind the file port: numbered steps, power losses, failed syncs, a bounded size, flipped bits."""

from __future__ import annotations

import errno
from copy import copy, deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SECTOR = 512


class PowerLoss(BaseException):
    """The machine is off. Nothing that runs may catch this."""


@dataclass
class Inode:
    """A file. cache: what reads see; disk: what a power loss leaves for certain; versions: per unsynced sector.

    sizes: those that it had since the last sync, the first of them synced; unreadable: offsets of bad places.
    """

    cache: bytearray = field(default_factory=bytearray)
    disk: bytearray = field(default_factory=bytearray)
    versions: dict[int, list[bytes]] = field(default_factory=dict[int, list[bytes]])
    sizes: list[int] = field(default_factory=lambda: [0])
    unreadable: set[int] = field(default_factory=set[int])

    def sector(self, number: int) -> bytes:
        """One sector as the cache has it."""
        return bytes(self.cache[number * SECTOR : (number + 1) * SECTOR]).ljust(SECTOR, b"\0")

    def resize(self, size: int) -> None:
        """Grow with zeros, or shrink."""
        dropped = range(size // SECTOR, -(-len(self.cache) // SECTOR))
        del self.cache[size:]
        self.cache.extend(bytes(size - len(self.cache)))
        self.sizes.append(size)
        for number in dropped:
            self.versions.setdefault(number, []).append(self.sector(number))

    def write(self, data: bytes, offset: int) -> None:
        """Into the cache; the disk may get each sector at any time."""
        if offset + len(data) > len(self.cache):
            self.resize(offset + len(data))
        self.cache[offset : offset + len(data)] = data
        for number in range(offset // SECTOR, -(-(offset + len(data)) // SECTOR)):
            self.versions.setdefault(number, []).append(self.sector(number))

    def store(self, number: int, data: bytes) -> None:
        """One sector reaches the disk."""
        end = (number + 1) * SECTOR
        self.disk.extend(bytes(max(0, end - len(self.disk))))
        self.disk[number * SECTOR : end] = data

    def sync(self) -> None:
        """All of the cache that is not on the disk reaches it."""
        for number in self.versions:
            self.store(number, self.sector(number))
        self.versions.clear()
        self.sizes = [len(self.cache)]

    def fail_sync(self, random: Random) -> None:
        """Some of it reaches the disk; the system forgets that the rest did not, and still shows it."""
        for number in self.versions:
            if random.random() < 0.5:
                self.store(number, self.sector(number))
        self.versions.clear()
        self.sizes = [len(self.cache)]

    def evict(self, random: Random) -> None:
        """The system drops sectors that it believes to be on disk, and reads them anew."""
        for number in range(-(-len(self.cache) // SECTOR)):
            if number not in self.versions and random.random() < 0.5:
                self._reload(number)

    def lose_power(self, random: Random) -> None:
        """Each unsynced sector has any of its versions; the size is any since the last sync."""
        for number, versions in self.versions.items():
            choice = random.randint(0, len(versions))
            if choice:
                self.store(number, versions[choice - 1])
        size = random.choice(self.sizes)
        self.cache = bytearray(bytes(self.disk[:size]).ljust(size, b"\0"))
        self.disk = bytearray(self.cache)
        self.versions.clear()
        self.sizes = [size]

    def _reload(self, number: int) -> None:
        first, end = number * SECTOR, min((number + 1) * SECTOR, len(self.cache))
        self.cache[first:end] = bytes(self.disk[first:end]).ljust(end - first, b"\0")


class Disk:
    """Implements `Files`.

    Every call that changes something is a step. At step `lose_at` the power fails half-way through it; a step in
    `failing` fails half-way, with EIO. capacity: bytes of all files together.
    """

    def __init__(self, seed: int = 0) -> None:
        self.random = Random(seed)
        self._salts = Random(f"salt {seed}")
        self.steps = 0
        self.lose_at = 0
        self.failing: set[int] = set()
        self.capacity = 1 << 40
        self.log: list[str] = []
        self._names: dict[Path, Inode] = {}
        self._stable: list[dict[Path, Inode]] = [{}]
        self._open: dict[int, Inode] = {}
        self._locks: dict[int, Path] = {}
        self._next = 3

    # What tests do to it

    def copy(self) -> Disk:
        """Another that is the same, chance included."""
        return deepcopy(self, {id(one): copy(one) for one in (self.random, self._salts)})

    def lose_power(self) -> None:
        """Only what was synced is left for certain; all processes are gone."""
        self._names = dict(self.random.choice(self._stable))
        self._stable = [dict(self._names)]
        for inode in {id(inode): inode for inode in self._names.values()}.values():
            inode.lose_power(self.random)
        self.kill()

    def kill(self) -> None:
        """All processes are gone, the system's memory is as it was."""
        self._open.clear()
        self._locks.clear()
        self.lose_at = 0
        self.failing.clear()

    def evict(self) -> None:
        """The system drops some of what it believes to be on disk."""
        for inode in self._names.values():
            inode.evict(self.random)

    def salt(self) -> bytes:
        """Bytes that occur once."""
        return self._salts.randbytes(8)

    def flip(self, path: Path, offset: int, mask: int = 1) -> None:
        """Damages one byte that is on the disk."""
        inode = self._names[path]
        inode.sync()
        for data in (inode.cache, inode.disk):
            data[offset] ^= mask

    def wear_out(self, path: Path, offset: int) -> None:
        """What covers this byte cannot be read any more."""
        self._names[path].unreadable.add(offset)

    def bytes_of(self, path: Path) -> bytes:
        """What a file holds."""
        return bytes(self._names[path].cache)

    def remove(self, path: Path) -> None:
        """A file is gone."""
        del self._names[path]
        self._stable = [dict(self._names)]

    @property
    def open_descriptors(self) -> int:
        """How many descriptors nobody has closed."""
        return len(self._open)

    # The port

    def open(self, path: Path, *, create: bool = False) -> int:
        if path not in self._names:
            if not create:
                raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
            self._step(f"create {path.name}")
            self._names[path] = Inode()
            self._renamed()
        self._next += 1
        self._open[self._next] = self._names[path]
        return self._next

    def close(self, descriptor: int) -> None:
        del self._open[descriptor]
        self._locks.pop(descriptor, None)

    def size(self, descriptor: int) -> int:
        return len(self._open[descriptor].cache)

    def pread(self, descriptor: int, size: int, offset: int) -> bytes:
        inode = self._open[descriptor]
        if any(offset <= bad < offset + size for bad in inode.unreadable):
            raise OSError(errno.EIO, "unreadable")
        return bytes(inode.cache[offset : offset + size])

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> None:
        inode = self._open[descriptor]
        try:
            self._step("pwrite")
        except (PowerLoss, OSError):
            part = self.random.randint(0, len(data))
            inode.write(data[:part], offset)
            raise
        inode.write(data, offset)

    def allocate(self, descriptor: int, size: int) -> None:
        self._step("allocate")
        inode = self._open[descriptor]
        grows = max(0, size - len(inode.cache))
        if grows and sum(len(one.cache) for one in self._names.values()) + grows > self.capacity:
            raise OSError(errno.ENOSPC, "no space left")
        if grows:
            inode.resize(size)

    def truncate(self, descriptor: int, size: int) -> None:
        self._step("truncate")
        self._open[descriptor].resize(size)

    def fdatasync(self, descriptor: int) -> None:
        inode = self._open[descriptor]
        try:
            self._step("fdatasync")
        except OSError:
            inode.fail_sync(self.random)
            raise
        inode.sync()

    def sync_directory(self, path: Path) -> None:
        self._step("sync directory")
        self._stable = [dict(self._names)]

    def make_directory(self, path: Path) -> None:
        pass

    def names(self, path: Path) -> list[str]:
        return sorted(name.name for name in self._names)

    def rename(self, old: Path, new: Path) -> None:
        self._step(f"rename {new.name}")
        self._names[new] = self._names.pop(old)
        self._renamed()

    def unlink(self, path: Path) -> None:
        self._step(f"unlink {path.name}")
        del self._names[path]
        self._renamed()

    def lock(self, path: Path, seconds: float) -> int:
        if path in self._locks.values():
            raise BlockingIOError(errno.EAGAIN, f"locked for {seconds} s")
        descriptor = self.open(path, create=True)
        self._locks[descriptor] = path
        return descriptor

    def _renamed(self) -> None:
        self._stable.append(dict(self._names))

    def _step(self, what: str) -> None:
        self.steps += 1
        self.log.append(what)
        if self.steps == self.lose_at:
            raise PowerLoss(what)
        if self.steps in self.failing:
            raise OSError(errno.EIO, f"{what} failed")
