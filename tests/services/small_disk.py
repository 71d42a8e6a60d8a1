"""A disk with little room, as a follower's journal meets it: the real files, and a count of what is left."""

from __future__ import annotations

import errno
import os

from raylite.actors.storage.files import RealFiles


class SmallDisk(RealFiles):
    """room: bytes that files may still grow by, all together; a test may change it at any time.

    What they give back is not counted.
    """

    def __init__(self, room: int) -> None:
        self.room = room

    def allocate(self, descriptor: int, size: int) -> None:
        self._take(size - self.size(descriptor))
        super().allocate(descriptor, size)

    def truncate(self, descriptor: int, size: int) -> None:
        self._take(size - self.size(descriptor))
        super().truncate(descriptor, size)

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> None:
        self._take(max(0, offset + len(data) - self.size(descriptor)))
        super().pwrite(descriptor, data, offset)

    def _take(self, size: int) -> None:
        if size > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= max(0, size)
