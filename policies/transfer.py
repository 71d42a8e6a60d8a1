"""Whole databases on their way in or out: what a driver and a copy's actor say to each other.

Out: `OpenExport`, then `ReadExport` until all is read, then `CloseTransfer`. In: `OpenImport`, `WriteImport` until all
is there, then `RunImport` and meanwhile `WatchImport`, then `CloseTransfer`. A transfer that nobody asks for a while
is given up by the actor, and so are all of them when its process ends. Nothing is applied before `RunImport`.
"""

from __future__ import annotations

import enum

import msgspec


class Kind(enum.StrEnum):
    """What a file is. SQL: statements as UTF-8 text; SQLITE: a SQLite database."""

    SQL = "sql"
    SQLITE = "sqlite"


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    pass


class OpenExport(_Message, frozen=True):
    """Take a snapshot that shows at least `bookmark` ("": any) and copy it within `seconds`; answer: `Opened`."""

    database: str
    bookmark: str
    seconds: float


class ReadExport(_Message, frozen=True):
    """The bytes of the copy from `offset` on; answer: `Part`, after a while without bytes if there are none yet."""

    transfer: str
    offset: int


class OpenImport(_Message, frozen=True):
    """Keep room for a file of `size` bytes; answer: `Opened`."""

    database: str
    kind: Kind
    size: int


class WriteImport(_Message, frozen=True):
    """Bytes of the file at `offset`, in any order; no answer but that it was taken."""

    transfer: str
    offset: int
    data: bytes


class RunImport(_Message, frozen=True):
    """Apply the file, whose digest this is, within `seconds` in one transaction; answer: `Imported`."""

    transfer: str
    digest: str
    seconds: float


class WatchImport(_Message, frozen=True):
    """How far the import is; answer: `Watched`."""

    transfer: str


class CloseTransfer(_Message, frozen=True):
    """Forget the transfer; one that runs is stopped unless it is about to be committed. No answer but that."""

    transfer: str


class Opened(_Message, frozen=True):
    """A transfer. size: of the file in bytes; bookmark: of an export's snapshot, exactly."""

    transfer: str
    size: int
    bookmark: str = ""


class Part(_Message, frozen=True):
    """Bytes of an export. copied: bytes of the snapshot that are copied; digest: of the file, "" before it is whole."""

    data: bytes
    copied: int
    digest: str


class Watched(_Message, frozen=True):
    """An import: bytes of its file that have been applied, though not committed."""

    done: int


class Imported(_Message, frozen=True):
    """An import that was committed, and confirmed.

    statements: how many ran; changes, rows_read: rows, `StatementMeta` says how exactly; these are 0 for a SQLite file;
    last_row_id: of the row inserted last; size_after: of the database in bytes.
    """

    bookmark: str
    statements: int
    served_by: str
    region: str
    changes: int = 0
    rows_read: int = 0
    last_row_id: int = 0
    size_after: int = 0


TransferRequest = OpenExport | ReadExport | OpenImport | WriteImport | RunImport | WatchImport | CloseTransfer
TransferReply = Opened | Part | Watched | Imported
