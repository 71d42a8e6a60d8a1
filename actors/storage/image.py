"""The image that every database starts from: the same bytes everywhere.

One page 1 of an empty database as SQLite's file format lays it out (https://sqlite.org/fileformat2.html, 1.3 and
1.6): 4096-byte pages, UTF-8, write and read version 2 (WAL). Offset 92 ("version valid for") equals the change
counter at 24, so that SQLite believes the size at 28; the version at 96 is a constant too, not the build's.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

PAGE_SIZE: Final = 4096
_VERSION_NUMBER: Final = 3_045_000
_HEADER = struct.Struct(">16sHBBBBBBIIIIIIIIIIII20xII")
_BTREE = struct.Struct(">BHHHB")
_LEAF_TABLE: Final = 13


def _empty() -> bytes:
    header = _HEADER.pack(
        b"SQLite format 3\0",
        PAGE_SIZE,
        2, 2,  # write and read version: WAL
        0,  # reserved bytes at the end of a page
        64, 32, 32,  # payload fractions, fixed by the format
        1,  # change counter
        1,  # size of the database in pages
        0, 0,  # first free page, number of free pages
        0, 4,  # schema cookie, schema format
        0,  # suggested cache size
        0,  # largest root page: no auto-vacuum
        1,  # text encoding: UTF-8
        0,  # user version
        0,  # incremental vacuum
        0,  # application id
        1,  # the change counter that the version below is valid for
        _VERSION_NUMBER,
    )  # fmt: skip
    schema = _BTREE.pack(_LEAF_TABLE, 0, 0, PAGE_SIZE, 0)
    return (header + schema).ljust(PAGE_SIZE, b"\0")


EMPTY: Final[bytes] = _empty()
"""Page 1 of an empty database in WAL mode, `PAGE_SIZE` bytes."""


def first_page_of(database: Path) -> bytes:
    """Page 1 of the file; raises OSError."""
    with database.open("rb") as file:
        return file.read(PAGE_SIZE)
