"""What one query did, statement by statement, as APSW's and SQLite's callbacks tell it.

APSW calls `begin` when a statement is compiled and before it runs, also between the statements of a script; that is
where a statement that must not run is stopped, and where the one before it is known to have ended.

The estimates of `StatementMeta`, for the SQLite that APSW ships counts no rows:
- rows_read, "at least": SQLITE_STMTSTATUS_FULLSCAN_STEP and one for the scan's first row; for a read-only statement
  with FROM in its text the rows that it returned, for UPDATE and DELETE with WHERE the rows that they changed, if that
  is more, and one at least. Steps along an index, and what count(*) counts, are missing.
- rows_written: rows inserted, updated and deleted, those of triggers and cascades included, entries of indexes not;
  0 for what only reads; of CREATE and DROP the usual rows of the schema; None for other schema statements and PRAGMAs.
The counters come with SQLITE_TRACE_PROFILE at about 2.5 microseconds a statement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from time import perf_counter
from typing import Final

import apsw

from raylite.actors.storage.authorizer import Authorizer, is_vacuum
from raylite.actors.storage.engine_apsw import Connection, Cursor, Row
from raylite.actors.storage.engine_dialect import Measures
from raylite.actors.storage.engine_traced import Traced, row_bytes
from raylite.policies import limits
from raylite.policies.errors import Error, Interrupted, LimitExceeded, NotAllowed, StatementError
from raylite.policies.query import Mode, Rows

_PROGRESS_STEPS: Final = 100_000
"""Steps of SQLite's machine between two looks at the clock, about a millisecond: each takes the interpreter lock."""
_STATEMENT_BYTES: Final = 256
"""What one statement's result without rows is charged."""


class Tracer:
    """The query under way on one connection. `stop` may be called from any thread, all else by the engine's.

    settle: hands a commit on, if there was one since it was last called, and says whether there was.
    Invariant: `consumed` characters of the text belong to statements that have begun, the last of them at `began`.
    """

    def __init__(
        self, connection: Connection, authorizer: Authorizer, settle: Callable[[], bool], reader: bool
    ) -> None:
        self._connection, self._authorizer, self._settle, self._reader = (
            connection,
            authorizer,
            settle,
            reader,
        )
        self._current: Traced | None = None
        self._stopped: Error | None = None
        self._status: Mapping[str, int] = {}
        self._query_end = self._end = math.inf
        self._began = 0.0
        self._rows = self._bytes = 0
        self._text, self._length = "", 0
        self.mode, self._script, self._loading = Mode.RUN, False, False
        self.loaded = self.scanned = self.began = 0
        self.done: list[Traced] = []
        self.wrote = self.forward = False
        self._refusal: Error | None = None
        self._measures: Measures | None = None
        self.consumed = 0
        connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, self._profile)
        connection.set_progress_handler(self._expired, _PROGRESS_STEPS)

    def start(self, mode: Mode, seconds: float, refusal: Error | None = None) -> None:
        """A query begins. seconds: until its end; each of its statements may take STATEMENT_SECONDS of them.

        refusal: what a statement that is not read-only gets instead of being run.
        """
        self._measures = None
        self._authorizer.clear()
        self._refusal = refusal
        self._current = self._stopped = None
        self._began = perf_counter()
        self._query_end = self._began + seconds
        self._end = min(self._query_end, self._began + limits.STATEMENT_SECONDS)
        self._rows = self._bytes = 0
        self.mode, self._script, self._loading = mode, mode is Mode.SCRIPT, False
        self.done = []
        self.wrote = self.forward = False

    def measure(self, measures: Measures) -> None:
        """The query that has begun is D1's: its statements are measured so."""
        self._measures = measures
        measures.restart()

    def start_loading(self, seconds: float, refusal: Error | None) -> None:
        """Many scripts begin that are one transaction: their statements are counted, and have no results.

        seconds: until the end of all; one statement may take all of them. `loaded` counts them, `scanned` rows.
        """
        self.start(Mode.SCRIPT, seconds, refusal)
        self._loading, self._end, self.loaded, self.scanned = True, self._query_end, 0, 0

    def end(self) -> None:
        """The query is over: from here on nothing expires."""
        self._query_end = self._end = math.inf
        self._text = ""

    def results(self, size_after: int) -> list[Rows]:
        """The result of each statement that ended well, once: they may be large. size_after: bytes."""
        done, self.done = self.done, []
        return [one.result(size_after) for one in done]

    def text(self, sql: str) -> None:
        """The text that is handed to SQLite next."""
        self._text, self._length, self.consumed, self.began = sql, len(sql), 0, 0

    def rest(self) -> str:
        """What of the text has not begun."""
        return self._text[self.consumed :]

    def begin(self, cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        """APSW's execution trace: whether the statement may run."""
        if self._current is not None:
            self.finish()
        self.began = self.consumed
        self.consumed += len(sql)
        if not cursor.has_vdbe:
            return True
        self._check_time()
        noted = self._authorizer
        noted.refusal = None
        readonly = cursor.is_readonly and not noted.effects
        if not readonly:
            if self._reader:
                self.forward = True
                return False
            if self._refusal is not None:
                raise self._refusal
            self.wrote = True
            self._check_vacuum(sql)
        if self.consumed != self._length and not self._script:
            self._check_alone()
        columns = tuple([name for name, _ in cursor.get_description()])
        self._current = Traced(sql, columns, readonly, noted.schema, self._connection.total_changes())
        noted.schema = noted.effects = False
        return True

    def take(self, cursor: Cursor) -> None:
        """Runs what was handed to SQLite to its end; bounded in rows, bytes and time."""
        rows = iter(cursor)
        try:
            for row in rows:
                self._add(row)
        except (UnicodeDecodeError, MemoryError):
            self._roll_back_statement(rows)
            raise

    def finish(self) -> None:
        """The statement has ended well."""
        current, self._current = self._current, None
        if current is not None and self._loading:
            self.loaded += 1
            self.scanned += self._rows_scanned()
            return
        if current is None:
            raise StatementError("the text holds no SQL statement", 1, 0)
        current.duration = perf_counter() - current.started
        current.changes = self._connection.total_changes() - current.changes
        # SQLite's own count is that of an earlier statement if this one changed nothing.
        current.own_changes = self._connection.changes() if current.changes else 0
        current.last_row_id = self._connection.last_insert_rowid()
        current.scanned = self._rows_scanned()
        current.changed = self._settle()
        if self._measures is not None:
            current.size, changed = self._measures.take(current.changes)
            current.changed = changed and not current.readonly
        self.done.append(current)

    def _rows_scanned(self) -> int:
        """By the statement that has ended last."""
        steps = self._status["SQLITE_STMTSTATUS_FULLSCAN_STEP"]
        return steps + 1 if steps else 0

    def drop(self) -> None:
        """The statement under way has failed."""
        self._current = None

    @property
    def running(self) -> bool:
        """Whether a statement has begun whose end is not known."""
        return self._current is not None

    def mark_changed(self) -> None:
        """The batch has changed the database: so did those of its statements that wrote something."""
        for one in self.done if self._measures is None else ():
            one.changed = not one.readonly and (one.changes > 0 or not one.counted())

    def stop(self) -> None:
        """Stops the query under way; thread-safe. Without one it does nothing."""
        self._stopped = Interrupted("the query")
        self._connection.interrupt()

    def stopped(self) -> Error:
        """Why SQLite says that it was interrupted."""
        return self._stopped or Interrupted("the query")

    def _add(self, row: Row) -> None:
        assert self._current is not None
        if self._loading:
            return
        self._current.rows.append(row)
        self._rows += 1
        if self._rows > limits.RESULT_ROWS:
            self._interrupt(LimitExceeded("the result", self._rows, limits.RESULT_ROWS, "rows"))
        self._charge(row_bytes(row))

    def _charge(self, size: int) -> None:
        self._bytes += size
        if self._bytes <= limits.RESULT_BYTES:
            return
        error = LimitExceeded("the result", self._bytes, limits.RESULT_BYTES, "bytes")
        if self._current is None:
            raise error
        self._interrupt(error)

    def _interrupt(self, error: Error) -> None:
        # A statement that wrote and is only let go commits; one that is interrupted rolls back at its next step.
        self._stopped = error
        self._connection.interrupt()

    def _roll_back_statement(self, rows: Iterator[Row]) -> None:
        self._connection.interrupt()
        try:
            next(rows, None)
        except apsw.InterruptError:
            return

    def _check_time(self) -> None:
        if self._stopped is not None:
            raise self._stopped
        now = perf_counter()
        if self._script and not self._loading:
            self._charge(_STATEMENT_BYTES)
            self._began, self._end = now, min(self._query_end, now + limits.STATEMENT_SECONDS)
        if now > self._end:
            raise self._too_long()

    def _check_vacuum(self, sql: str) -> None:
        if not is_vacuum(sql):
            return
        if self.mode is not Mode.RUN:
            raise NotAllowed(f"VACUUM in a {self.mode}", "Run it as a statement by itself.")
        self._authorizer.vacuum = True

    def _check_alone(self) -> None:
        rest = self.rest()
        if self._has_statement(rest):
            instead = "Send each by itself, several in a `batch`, or a whole file as a script with `exec`."
            raise NotAllowed("more than one statement in one text", instead)
        self._authorizer.refusal = None

    def _has_statement(self, sql: str) -> bool:
        cursor = self._connection.cursor()
        cursor.set_exec_trace(_only_comments)
        try:
            cursor.execute(sql, can_cache=False)
        except apsw.Error:
            return True
        return False

    def _too_long(self) -> Error:
        took, allowed = perf_counter() - self._began, max(0.0, self._end - self._began)
        return LimitExceeded("the statement's time", round(took, 3), round(allowed, 3), "seconds")

    def _expired(self) -> bool:
        if perf_counter() <= self._end:
            return False
        self._stopped = self._too_long()
        return True

    def _profile(self, event: dict[str, Mapping[str, int]]) -> None:
        self._status = event["stmt_status"]


def _only_comments(cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
    return not cursor.has_vdbe
