"""What tests of replicas share: a real SQLite primary whose commits become entries, and readers elsewhere."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import apsw
import msgspec
from tests.unit.replica_process import Command, Reply, check_of, state_of

from raylite.actors.core.piece import Header, Kind, Pages, Piece, describe, encode
from raylite.actors.storage.directory import Directory
from raylite.actors.storage.engine_apsw import Connection, connect
from raylite.actors.storage.generation import Generation
from raylite.actors.storage.image import EMPTY, PAGE_SIZE
from raylite.actors.storage.replica_file import ReplicaFile
from raylite.actors.storage.wal import Commit, WalReader
from raylite.actors.storage.wal_medium import Medium
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.query import Value

DATABASE = "d0c"
EXAMPLES = int(os.environ.get("RAYLITE_EXAMPLES", "1"))
"""How many times as many random examples as usual: for soaks."""


class Entry(msgspec.Struct, frozen=True):
    """state: what a reader sees once it is published."""

    pieces: Sequence[Piece]
    encoded: Sequence[bytes]
    state: str

    @property
    def place(self) -> Bookmark:
        return self.pieces[-1].place


def cut_into_pieces(
    previous: Bookmark,
    pages: Sequence[tuple[int, bytes]],
    *,
    epoch: int,
    database_pages: int,
    per_piece: int,
    kind: Kind = Kind.WRITE,
    state: str = "",
    inside: bool = False,
) -> Entry:
    """The entry with these pages; inside: its pieces go on with an entry of which `previous` is a part."""
    parts = [pages[at : at + per_piece] for at in range(0, len(pages), per_piece)] or [pages]
    pieces: list[Piece] = []
    encoded: list[bytes] = []
    sequence = previous.sequence + (not inside)
    for number, part in enumerate(parts):
        size = PAGE_SIZE if part else 0
        last = number == len(parts) - 1
        header = Header(kind, last, epoch, sequence, number, 0, size, database_pages)
        encoded.append(encode(header, Pages([page for page, _ in part], [data for _, data in part])))
        pieces.append(describe(previous, encoded[-1]))
        previous = pieces[-1].place
    return Entry(pieces, encoded, state)


def doomed(previous: Bookmark, pages: int, *, inside: bool = False) -> Entry:
    """An entry that is never confirmed, full of what would spoil any database."""
    noise = Random(pages)
    content = [(number, noise.randbytes(PAGE_SIZE)) for number in range(1, pages + 1)]
    return cut_into_pieces(previous, content, epoch=9, database_pages=pages, per_piece=3, inside=inside)


class Primary:
    """SQLite itself, writing. entries: one for each commit, from the empty image on."""

    def __init__(self, directory: Path, epoch: int = 1, cache_pages: int = 0) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "primary.db"
        self.path.write_bytes(EMPTY)
        self.epoch = epoch
        self.per_piece = 4
        self.keeps_states = True
        self.connection = connect(str(self.path), apsw.SQLITE_OPEN_READWRITE)
        self.connection.execute("PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF")
        if cache_pages:
            self.connection.execute(f"PRAGMA cache_size={cache_pages}; PRAGMA cache_spill={cache_pages}")
        self.connection.set_wal_hook(self._on_commit)
        self.reader = WalReader(self.path.with_name("primary.db-wal"))
        self.entries: list[Entry] = []
        self.commits: list[Commit] = []
        self.origin_state = state_of(self.connection)

    @classmethod
    def with_rows(cls, directory: Path) -> Primary:
        """One with a table and a few rows, small and large."""
        made = cls(directory)
        made.run("CREATE TABLE t (k INTEGER PRIMARY KEY, x)")
        for size in (100, 60_000, 10, 30_000, 10):
            made.run(f"INSERT INTO t (x) VALUES (randomblob({size}))")
        return made

    @property
    def tail(self) -> Bookmark:
        return self.entries[-1].place if self.entries else origin(DATABASE)

    def state(self, place: Bookmark) -> str:
        for entry in self.entries:
            if entry.place.digest == place.digest:
                return entry.state
        return self.origin_state

    def run(self, sql: str, *values: Value) -> Entry:
        """Runs what makes exactly one commit."""
        self.connection.execute(sql, values)
        return self.entries[-1]

    def empty(self) -> Entry:
        """An entry without pages, as a new reign begins with."""
        state = self.state(self.tail)
        entry = cut_into_pieces(
            self.tail, [], epoch=self.epoch, database_pages=0, per_piece=1, kind=Kind.EMPTY, state=state
        )
        self.entries.append(entry)
        return entry

    def checkpoint(self) -> None:
        frames, copied = self.connection.wal_checkpoint()
        assert frames == copied
        self.reader.checkpointed()

    def close(self) -> None:
        self.reader.close()
        self.connection.close()

    def _on_commit(self, _connection: apsw.Connection, _name: str, frames: int) -> int:
        commit = self.reader.commit(frames)
        self.commits.append(commit)
        pages = [(page, self.reader.read(frame)) for page, frame in commit.pages]
        entry = cut_into_pieces(
            self.tail,
            pages,
            epoch=self.epoch,
            database_pages=commit.database_pages,
            per_piece=self.per_piece,
        )
        state = _state_elsewhere(self.path) if self.keeps_states else ""
        self.entries.append(msgspec.structs.replace(entry, state=state))
        return apsw.SQLITE_OK


def _state_elsewhere(path: Path) -> str:
    connection = connect(str(path), apsw.SQLITE_OPEN_READONLY)
    state = state_of(connection)
    connection.close()
    return state


class Process:
    """Another process: see `replica_process`."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("replica_process.py")
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )

    def send(self, op: str, name: str = "", path: Path | str = "", number: int = 0) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(Command(op, name, str(path), number)) + b"\n")
        self._process.stdin.flush()

    def answers_within(self, seconds: float) -> bool:
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], seconds)[0])

    def receive(self, seconds: float = 30.0) -> str:
        assert self._process.stdout is not None
        assert self.answers_within(seconds), "the other process does not answer"
        reply = msgspec.json.decode(self._process.stdout.readline(), type=Reply)
        assert not reply.error, reply.error
        return reply.value

    def ask(self, op: str, name: str = "", path: Path | str = "", number: int = 0) -> str:
        self.send(op, name, path, number)
        return self.receive()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait(10) == 0


class Copy:
    """A replica of a primary, with readers in this process and another. All of it is closed in the right order."""

    def __init__(self, path: Path, primary: Primary, process: Process, medium: Medium | None = None) -> None:
        self.primary, self.process = primary, process
        self._path, self._medium = path, medium
        self._near: dict[str, Connection] = {}
        self._far: list[str] = []
        self.open()

    def open(self) -> None:
        self.directory = Directory.claim(self._path, 0)
        self.generation = Generation.begin(self.directory, DATABASE)
        self.file = ReplicaFile(self.generation, self._medium)
        self.is_open = True

    def append(self, *entries: Entry) -> None:
        for entry in entries:
            self.file.append(entry.pieces, entry.encoded)

    def apply(self, *entries: Entry) -> None:
        for entry in entries:
            self.append(entry)
            self.file.publish(entry.place)

    def near(self, name: str = "idle") -> Connection:
        """A reader of this process."""
        if name not in self._near:
            self._near[name] = connect(str(self.file.database), apsw.SQLITE_OPEN_READONLY)
        return self._near[name]

    def far(self, name: str = "idle") -> str:
        """The name of a reader of the other process."""
        if name not in self._far:
            self.process.ask("open", name, self.file.database)
            self._far.append(name)
        return name

    def check(self, *, whole: bool = False) -> None:
        """Readers here and there see what is published and nothing else."""
        expected = self.primary.state(self.file.published)
        assert state_of(self.near()) == expected
        assert self.process.ask("state", self.far()) == expected
        if whole:
            assert check_of(self.near()) == "ok"
            assert self.process.ask("check", self.far()) == "ok"

    def close(self) -> None:
        if not self.is_open:
            return
        for name in self._far:
            self.process.ask("close", name)
        for connection in self._near.values():
            connection.close()
        self._near, self._far = {}, []
        self.file.close()
        self.directory.release()
        self.is_open = False
