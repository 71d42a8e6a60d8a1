"""A process of its own for tests of replicas: reads copies through SQLite, or writes one until it is killed.

It reads commands as lines of JSON and answers each with a line. Writers are forked, so each costs milliseconds.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import apsw
import msgspec

from raylite.actors.core.piece import Piece
from raylite.actors.storage.directory import Directory, Record
from raylite.actors.storage.engine_apsw import Connection, connect
from raylite.actors.storage.generation import Generation
from raylite.actors.storage.replica_file import ReplicaFile
from raylite.actors.storage.wal_medium import Direct
from raylite.policies.bookmark import Bookmark

KILLED = 9


class Command(msgspec.Struct, frozen=True):
    op: str
    name: str = ""
    path: str = ""
    number: int = 0


class Reply(msgspec.Struct, frozen=True):
    value: str = ""
    error: str = ""


class Step(msgspec.Struct, frozen=True):
    """append: the pieces; publish, cut: the place; checkpoint; arm: from here on stores are numbered."""

    op: str
    place: Bookmark | None = None
    pieces: Sequence[Piece] = ()
    encoded: Sequence[bytes] = ()


class Scenario(msgspec.Struct, frozen=True):
    directory: str
    database_id: str
    steps: Sequence[Step]


def state_of(connection: Connection) -> str:
    """A digest of all that a reader can see, in one snapshot."""
    digest = hashlib.blake2b(digest_size=8)
    inside = connection.in_transaction
    if not inside:
        connection.execute("BEGIN")
    try:
        tables = [
            (str(name), sql)
            for name, sql in connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name")
        ]
        digest.update(repr(tables).encode())
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for name in sorted(map(str, names)):
            for row in connection.execute(f'SELECT * FROM "{name}"'):
                for value in row:
                    digest.update(value if isinstance(value, bytes) else repr(value).encode())
                    digest.update(b",")
    finally:
        if not inside:
            connection.execute("COMMIT")
    return digest.hexdigest()


def check_of(connection: Connection) -> str:
    """ "ok", or what SQLite finds wrong."""
    return "; ".join(str(row[0]) for row in connection.execute("PRAGMA integrity_check"))


def race(connection: Connection, last: int) -> int:
    """Reads until row `last` shows; how many snapshots it took. Every one must follow those before it, whole."""
    seen = snapshots = 0
    while seen < last:
        connection.execute("BEGIN")
        rows = [*connection.execute("SELECT count(*), max(k) FROM t")]
        rows += connection.execute("SELECT count(*), max(k) FROM t INDEXED BY i WHERE x > ''")
        connection.execute("COMMIT")
        (count, newest), (indexed, newest_indexed) = rows
        assert isinstance(newest, int)
        if not count == newest == indexed == newest_indexed or newest < seen:
            raise OSError(f"after {seen} came {rows}")
        seen, snapshots = newest, snapshots + 1
    return snapshots


class Counter:
    """Ends the process just before the store of this number; 0: never."""

    def __init__(self, fatal: int) -> None:
        self.fatal, self.count, self.armed = fatal, 0, False

    def step(self) -> None:
        if self.armed:
            self.count += 1
            if self.count == self.fatal:
                os._exit(KILLED)

    def say(self, said: int, line: str) -> None:
        if self.armed:
            os.write(said, line.encode())


class Numbered(Direct):
    def __init__(self, counter: Counter) -> None:
        self.counter = counter

    def write(self, fd: int, data: bytes | bytearray, offset: int) -> None:
        self.counter.step()
        super().write(fd, data, offset)

    def put(self, cells: memoryview, index: int, value: int) -> None:
        self.counter.step()
        super().put(cells, index, value)

    def copy(self, target: memoryview, offset: int, data: bytes) -> None:
        self.counter.step()
        super().copy(target, offset, data)


class NumberedDirectory(Directory):
    counter = Counter(0)

    def write_record(self, record: Record) -> None:
        self.counter.step()
        super().write_record(record)


def play(scenario: Scenario, fatal: int, said: int, go: int) -> None:
    """Runs a scenario as a process that may be killed; says each line of progress into a pipe."""
    counter = Counter(fatal)
    directory = NumberedDirectory.claim(Path(scenario.directory), 0)
    directory.counter = counter
    file = ReplicaFile(Generation.begin(directory, scenario.database_id), Numbered(counter))
    for step in scenario.steps:
        match step:
            case Step(op="append"):
                file.append(step.pieces, step.encoded)
            case Step(op="publish", place=Bookmark() as place):
                counter.say(said, f"publishing {place}\n")
                file.publish(place)
                counter.say(said, f"published {place}\n")
            case Step(op="cut", place=Bookmark() as place):
                file.cut(place)
            case Step(op="checkpoint"):
                file.checkpoint()
            case Step(op="arm"):
                os.write(said, f"ready {file.database}\n".encode())
                os.read(go, 1)
                counter.armed = True
            case _:
                raise AssertionError(step)
    os.write(said, f"done {counter.count}\n".encode())


class Server:
    def __init__(self) -> None:
        self._connections: dict[str, Connection] = {}
        self._child = self._said = self._go = -1

    def handle(self, command: Command) -> str:
        match command.op:
            case "open":
                self._connections[command.name] = connect(command.path, apsw.SQLITE_OPEN_READONLY)
            case "recover":
                return self._recover(command.path)
            case "start":
                return self._start(Path(command.path), command.number)
            case "go":
                return self._run_on()
            case _:
                return self._read(command.op, self._connections[command.name], command)
        return ""

    def _read(self, op: str, connection: Connection, command: Command) -> str:
        match op:
            case "state":
                return state_of(connection)
            case "hold":
                connection.execute("BEGIN")
                return state_of(connection)
            case "release":
                connection.execute("COMMIT")
            case "check":
                return check_of(connection)
            case "race":
                return str(race(connection, command.number))
            case "close":
                connection.close()
                del self._connections[command.name]
            case _:
                raise AssertionError(op)
        return ""

    def _recover(self, path: str) -> str:
        """What SQLite makes of a database file and a WAL without their WAL-index."""
        connection = connect(path, apsw.SQLITE_OPEN_READWRITE)
        found = state_of(connection)
        connection.close()
        return found

    def _start(self, path: Path, fatal: int) -> str:
        said, say = os.pipe()
        wait, go = os.pipe()
        scenario = msgspec.msgpack.decode(path.read_bytes(), type=Scenario)
        self._child = os.fork()
        if not self._child:
            os.close(said)
            os.close(go)
            play(scenario, fatal, say, wait)
            os._exit(0)
        os.close(say)
        os.close(wait)
        self._said, self._go = said, go
        return os.read(said, 4096).decode()

    def _run_on(self) -> str:
        os.write(self._go, b"!")
        lines = b""
        while more := os.read(self._said, 65536):
            lines += more
        os.close(self._said)
        os.close(self._go)
        _, status = os.waitpid(self._child, 0)
        return f"{lines.decode()}exit {os.waitstatus_to_exitcode(status)}"


def main() -> None:
    server = Server()
    decoder = msgspec.json.Decoder(Command)
    for line in sys.stdin.buffer:
        try:
            reply = Reply(server.handle(decoder.decode(line)))
        except (apsw.Error, OSError) as error:
            reply = Reply(error=f"{type(error).__name__}: {error}")
        sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
