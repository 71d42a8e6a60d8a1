"""The history of a campaign on disk, so that what went wrong can be studied when all is over."""

from __future__ import annotations

from pathlib import Path

import msgspec
from tests.chaos.history import Operation


class Fault(msgspec.Struct, frozen=True, tag="fault"):
    """at: seconds on the clock of the operations."""

    at: float
    what: str


class Asked(msgspec.Struct, frozen=True, tag="asked"):
    """One operation, when it had ended."""

    operation: Operation


class End(msgspec.Struct, frozen=True, tag="end"):
    """What the table held at last, and what was found wrong."""

    rows: tuple[tuple[int, int], ...]
    violations: tuple[str, ...]


Line = Fault | Asked | End


class Record:
    """A file of lines of JSON, each there as soon as it is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb", buffering=0)

    def add(self, line: Line) -> None:
        """Appends one."""
        self._file.write(msgspec.json.encode(line) + b"\n")

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()


def read(path: Path) -> list[Line]:
    """All lines of such a file; the last one may be cut short, and is left out then."""
    lines: list[Line] = []
    for text in path.read_bytes().split(b"\n")[:-1]:
        lines.append(msgspec.json.decode(text, type=Line))
    return lines
