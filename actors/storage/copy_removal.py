"""Removes what is left of a deleted database's copies."""

from __future__ import annotations

import shutil
from pathlib import Path

from raylite.actors.storage.directory import Directory
from raylite.policies.errors import Unreachable


def remove_copies(folder: Path) -> None:
    """Removes the directories of all copies of one database on this node, and `folder`, which has them. Blocks.

    Raises `Unreachable` while a process uses one of them, or removes it too; OSError if the disk fails.
    """
    for copy in folder.iterdir() if folder.is_dir() else ():
        directory = Directory.claim(copy, 0)
        try:
            shutil.rmtree(copy, ignore_errors=True)
        finally:
            directory.release()
    try:
        folder.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unreachable(str(folder), f"it is in use ({error.strerror})") from error
