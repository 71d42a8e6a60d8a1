"""A file port for followers' journals that is slow, full or fails, as the rules say."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from pathlib import Path

from tests.chaos.rules import Disk, DiskFault, World

from raylite.actors.storage.files import RealFiles

SECTOR_BYTES = 512


class WrongFiles(RealFiles):
    """The disk of one journal. _unsynced: descriptor, offset and earlier contents of what no sync has covered."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._follower = ""
        self._unsynced: list[tuple[int, int, bytes]] = []

    def lock(self, path: Path, seconds: float) -> int:
        """Its directory's name tells whose disk it is."""
        self._follower = f"follower:{path.parent.name}"
        return super().lock(path, seconds)

    def open(self, path: Path, *, create: bool = False) -> int:
        """A full disk makes no new file."""
        if create and not path.exists():
            self._needs_room()
        return super().open(path, create=create)

    def allocate(self, descriptor: int, size: int) -> None:
        """A full disk reserves nothing."""
        self._needs_room()
        super().allocate(descriptor, size)

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> None:
        """All of it, or some sectors and the process's end."""
        wrong = self._wrong(DiskFault.TORN)
        if wrong is not None:
            self._tear(descriptor, data, offset, random.Random(wrong.seed))
        self._unsynced.append((descriptor, offset, super().pread(descriptor, len(data), offset)))
        super().pwrite(descriptor, data, offset)

    def fdatasync(self, descriptor: int) -> None:
        """Late, or never: then part of what was written is gone."""
        slow, failed = self._wrong(DiskFault.SLOW), self._wrong(DiskFault.FAILED_SYNC)
        if slow is not None:
            time.sleep(slow.seconds)
        if failed is not None:
            self._lose(descriptor, random.Random(failed.seed))
            raise OSError(errno.EIO, "a campaign's disk fails to sync")
        super().fdatasync(descriptor)
        self._unsynced = [one for one in self._unsynced if one[0] != descriptor]

    def close(self, descriptor: int) -> None:
        """The number may mean another file later."""
        self._unsynced = [one for one in self._unsynced if one[0] != descriptor]
        super().close(descriptor)

    def _wrong(self, fault: DiskFault) -> Disk | None:
        found = self._world.disk(self._follower)
        return found if found is not None and found.fault is fault else None

    def _needs_room(self) -> None:
        if self._wrong(DiskFault.FULL) is not None:
            raise OSError(errno.ENOSPC, "a campaign's disk is full")

    def _tear(self, descriptor: int, data: bytes, offset: int, chance: random.Random) -> None:
        """A disk writes sectors in any order."""
        for begin in range(0, len(data), SECTOR_BYTES):
            if chance.random() < 0.5:
                super().pwrite(descriptor, data[begin : begin + SECTOR_BYTES], offset + begin)
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()  # not another instruction

    def _lose(self, descriptor: int, chance: random.Random) -> None:
        """Puts back what was there before, newest first, of some of the writes."""
        for written, offset, before in reversed(self._unsynced):
            if written == descriptor and chance.random() < 0.5:
                super().pwrite(descriptor, before, offset)


def wrong_files(world: World) -> type[RealFiles]:
    """The class to have in the place of `RealFiles`."""

    class Here(WrongFiles):
        def __init__(self) -> None:
            super().__init__(world)

    return Here
