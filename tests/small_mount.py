"""A file system of its own with little room, to be filled up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_BLOCK = bytes(1 << 16)


class SmallMount:
    """A mounted tmpfs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Takes all the room that is left."""
        with self._ballast.open("ab", buffering=0) as file:
            for block in (_BLOCK, _BLOCK[:512]):
                with suppress(OSError):
                    while True:
                        file.write(block)

    def free(self) -> None:
        """Gives it back."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_mount(path: Path, size: int) -> Generator[SmallMount]:
    """Mounts `size` bytes of memory there; where that is not allowed the test is skipped, and fails in CI."""
    path.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700,uid={os.getuid()}", "tmpfs", str(path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        why = f"a small tmpfs takes the right to mount, and this process has none: {mounted.stderr}"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)  # mounting takes root, which a developer may lack; CI has it and must run the test
    try:
        yield SmallMount(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
