"""One SQLite database in WAL mode through one APSW connection, used from one thread.

The writer hands every commit on, frame count of the WAL and all, before the next statement runs; the reader is a
read-only connection beside whoever writes the file. Neither ever checkpoints by itself. `synchronous=OFF`:
durability is the followers', the file is a cache.

Errors are values here: statements of a script before the one that failed stay committed, and an error may tell what
it has seen as much as rows do. After an error nothing of the statement (RUN, SCRIPT) or of the whole batch stays;
where SQLite itself keeps a part (OR FAIL), or a script kept statements before, the error is a `PartlyApplied`.
What a PRAGMA sets holds until its query ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, Self

import apsw
import msgspec

from raylite.actors.storage.authorizer import Authorizer, keeps_compiled
from raylite.actors.storage.engine_apsw import Cursor, connect, immutable
from raylite.actors.storage.engine_commits import Commits, OnCommit
from raylite.actors.storage.engine_dialect import Dialects, Measures
from raylite.actors.storage.engine_errors import CAUGHT, translate
from raylite.actors.storage.engine_input import check, is_small
from raylite.actors.storage.engine_own import OwnStatements
from raylite.actors.storage.engine_size import Size
from raylite.actors.storage.engine_trace import Tracer
from raylite.policies.errors import (
    Corrupt,
    Error,
    Invalid,
    NotAllowed,
    PartlyApplied,
    StatementError,
    Unreachable,
)
from raylite.policies.query import Dialect, Mode, Query, Rows, Statement

_ATTEMPTS: Final = 3
_PRIMARY_JUDGES: Final = (StatementError, NotAllowed, Unreachable)
"""A reader's failures that may come from its state or its being read-only, not from the query alone."""


class Execution(msgspec.Struct, frozen=True):
    """What a query did. results: one `Rows` for each statement that ended well, none for a batch that failed.

    wrote: a statement was not read-only; error: why the rest did not run; forward (a reader's alone): the text did
    not compile here or is not read-only, so the primary must judge all of it, and nothing else here counts.
    """

    results: list[Rows]
    wrote: bool
    error: Error | None = None
    forward: bool = False


class Engine:
    """One connection. All but `interrupt` belongs to one thread.

    Invariant: between two calls no transaction is open, every setting has its default, and every commit was handed on.
    """

    def __init__(
        self,
        path: str,
        flags: int,
        on_commit: OnCommit[Execution] | None,
        *,
        reader: bool,
        past: bool = False,
    ) -> None:
        """Use `writer`, `reader` or `past`."""
        self._path, self._reader, self._past = path, reader, past
        self._authorizer = Authorizer()
        self._commits = Commits(self._note_size, on_commit)
        try:
            self._connection = connect(path, flags)
            self._own = OwnStatements(self._connection, self._authorizer)
            self._trace = Tracer(self._connection, self._authorizer, self._commits.settle, reader)
            self._cursor = self._new_cursor()
            self._set_up()
            self._dialects = Dialects(self._connection, self._authorizer, self._own)
            self._measures = Measures(self._connection, self._own)
        except apsw.Error as error:
            raise translate(error, path) from error

    @classmethod
    def writer(cls, path: str, on_commit: OnCommit[Execution] | None = None) -> Self:
        """The one writer of an existing database in WAL mode; raises `Corrupt` if it is none.

        on_commit is called once after each commit, outside SQLite, with the frames that the WAL holds up to it, and
        with what the query did if that is all of it (RUN, BATCH); a statement that changes nothing makes no commit. If
        it raises, so does `execute`, and the engine is done for.
        """
        return cls(path, apsw.SQLITE_OPEN_READWRITE, on_commit, reader=False)

    @classmethod
    def reader(cls, path: str) -> Self:
        """A read-only connection to a database in WAL mode that this process, or another, keeps open and writes."""
        return cls(path, apsw.SQLITE_OPEN_READONLY, None, reader=True)

    @classmethod
    def past(cls, path: Path) -> Self:
        """A reader of a whole database file that nobody writes, ever: it needs no WAL, and takes no lock.

        It forwards what is not read-only; what does not compile has no other judge.
        """
        return cls(*immutable(path), None, reader=True, past=True)

    def execute(self, query: Query, seconds: float, refusal: Error | None = None) -> Execution:
        """Runs the query within `seconds` and says what it did; each commit was handed on when this returns.

        refusal: why nothing may be written now; what only reads runs all the same.
        """
        if self._commits.lost:
            return Execution([], False, self._given_up())
        try:
            check(query)
        except Invalid as error:
            return Execution([], False, error)
        trace, problem = self._trace, None
        trace.start(query.mode, seconds, refusal)
        self._commits.hold(query.mode is not Mode.SCRIPT)
        try:
            with self._dialects.speaking(query.dialect):
                self._run(query)
        except CAUGHT as caught:
            if self._commits.broken:
                raise
            problem = self._failed(caught)
        trace.end()
        if self._authorizer.settings:
            self._own.restore_settings()
        if trace.forward:
            return Execution([], trace.wrote, None, True)
        execution = Execution(trace.results(self._size.bytes_now()), trace.wrote, problem)
        self._commits.release(execution)
        return execution

    def interrupt(self) -> None:
        """Stops the query under way, if there is one; it ends with `Interrupted`. Callable from any thread."""
        with contextlib.suppress(apsw.ConnectionClosedError):
            self._trace.stop()

    def checkpoint_passive(self) -> tuple[int, int]:
        """Copies what no reader holds back from the WAL into the file: frames in the WAL, and of these copied."""
        for _ in range(_ATTEMPTS):
            frames, copied = self._checkpoint()
            if frames >= 0:
                return frames, copied
            # SQLite knows no WAL before its first read.
            self._own.number("SELECT count(*) FROM sqlite_schema")
        raise Corrupt("the database file", self._path, "SQLite finds no WAL")

    @property
    def page_count(self) -> int:
        """The size of the database in pages."""
        return self._own.number("PRAGMA page_count")

    def integrity_check(self) -> list[str]:
        """What `PRAGMA integrity_check` finds wrong; empty if nothing. Reads the whole database."""
        try:
            found = [str(row[0]) for row in self._own.repeatable("PRAGMA integrity_check")]
        except (apsw.CorruptError, apsw.NotADBError) as error:
            return [str(error)]
        return [] if found == ["ok"] else found

    def digest(self) -> tuple[int, str]:
        """How many pages the database has, and a digest of all their bytes, of one snapshot. Holds all in memory."""
        image = self._connection.serialize("main")
        return len(image) // self._size.page_bytes, blake2b(image, digest_size=16).hexdigest()

    def close(self) -> None:
        """Closes the connection without a checkpoint; what runs is given up. Closing again does nothing."""
        self._connection.close(True)
        self._size.close()

    def _checkpoint(self) -> tuple[int, int]:
        try:
            return self._connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.InterruptError:
            return -1, -1
        except apsw.Error as error:
            raise translate(error, self._path) from error

    def _set_up(self) -> None:
        connection = self._connection
        connection.set_authorizer(self._authorizer)
        self._own.repeatable("PRAGMA synchronous=OFF")
        self._own.repeatable("PRAGMA wal_autocheckpoint=0")  # removes the hook: before it is set
        connection.set_wal_hook(self._commits.hook)
        mode = self._own.repeatable("PRAGMA journal_mode")
        if mode != [("wal",)] and not self._past:
            connection.close(True)
            raise Corrupt("the database file", self._path, f"journal mode {mode}, not wal")
        self._size = Size(self._path, connection, self._own, self._reader)

    def _new_cursor(self) -> Cursor:
        cursor = self._connection.cursor()
        cursor.set_exec_trace(self._trace.begin)
        return cursor

    def _run(self, query: Query) -> None:
        if query.dialect is Dialect.D1:
            self._trace.measure(self._measures)
        if query.mode is Mode.BATCH:
            self._run_batch(query.statements)
        elif query.mode is Mode.SCRIPT:
            self._run_script(query.statements[0].sql)
        else:
            self._run_one(query.statements[0])

    def _run_one(self, statement: Statement) -> None:
        sql, params = statement.sql, statement.params
        self._trace.text(sql)
        compiled = keeps_compiled(sql)
        if self._reader and not compiled:  # a PRAGMA, maybe
            self._own.read_schema()
        self._trace.take(self._cursor.execute(sql, params, can_cache=compiled and is_small(params)))
        self._trace.finish()

    def _run_batch(self, statements: Sequence[Statement]) -> None:
        self._own.once("BEGIN" if self._reader else "BEGIN IMMEDIATE")
        for statement in statements:
            self._run_one(statement)
        self._own.once("COMMIT")
        if self._commits.settle():
            self._trace.mark_changed()

    def _run_script(self, sql: str) -> None:
        self._trace.text(sql)
        self._trace.take(self._cursor.execute(sql, can_cache=False))
        if self._trace.running:
            self._trace.finish()

    def _failed(self, caught: Exception) -> Error | None:
        if self._trace.mode is Mode.SCRIPT and self._next_does_not_compile(caught):
            self._trace.finish()
        error, refusal = self._error(caught), self._authorizer.refusal
        self._trace.drop()
        self._clean_up()
        others_judge = isinstance(caught, apsw.Error) and isinstance(error, _PRIMARY_JUDGES)
        if self._reader and not self._past and others_judge:
            self._trace.forward = True
        return self._with_kept(refusal or error)

    def _error(self, caught: Exception) -> Error:
        if isinstance(caught, apsw.InterruptError):
            return self._trace.stopped()
        return translate(caught, self._path)

    def _next_does_not_compile(self, caught: Exception) -> bool:
        """Whether the failure is that of the statement behind the one that ran: compiling that alone tells."""
        rest = self._trace.rest()
        if not self._trace.running or not isinstance(caught, apsw.Error) or not rest.strip():
            return False
        cursor = self._connection.cursor()
        cursor.set_exec_trace(_never)
        try:
            cursor.execute(rest, can_cache=False)
        except apsw.Error as error:
            return type(error) is type(caught) and str(error) == str(caught)
        return False

    def _with_kept(self, error: Error) -> Error:
        """The error, or a `PartlyApplied` of it if something of the query was committed all the same."""
        done = self._trace.done
        if self._trace.mode is Mode.BATCH:
            done.clear()
            return error
        if self._commits.settle():
            kept = "the rows before the one that failed stay, as OR FAIL asks"
        elif any(one.changed for one in done):
            kept = f"it is number {len(done) + 1}, those before it stay applied"
        else:
            return error
        return PartlyApplied(type(error).__name__, str(error), kept)

    def _clean_up(self) -> None:
        """Ends what the failed query left open, and makes SQLite report a commit that its failure hid."""
        self._cursor.close(True)
        self._cursor = self._new_cursor()
        if self._connection.in_transaction:
            self._own.repeatable("ROLLBACK")
        self._own.repeatable("SELECT 1")  # SQLite calls the WAL hook only when a statement ends well

    def _note_size(self, frames: int) -> None:
        self._size.committed(frames)

    def _given_up(self) -> Error:
        return Unreachable(self._path, "an earlier commit could not be handed on")


def _never(_cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
    return False
