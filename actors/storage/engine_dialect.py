"""Whose rules hold on an engine's connection while a query runs."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from raylite.actors.storage import d1_rules
from raylite.actors.storage.authorizer import Authorizer
from raylite.actors.storage.engine_apsw import Connection
from raylite.actors.storage.engine_own import OwnStatements
from raylite.policies.query import Dialect


class Dialects:
    """Makes D1's rules hold for D1's queries, and raylite's own for all else: the engine's own statements, too."""

    def __init__(self, connection: Connection, authorizer: Authorizer, own: OwnStatements) -> None:
        self._connection, self._authorizer, self._own = connection, authorizer, own
        self._usual = {limit: connection.limit(limit) for limit in d1_rules.LIMITS}
        self._last = Dialect.RAYLITE

    @contextmanager
    def speaking(self, dialect: Dialect) -> Generator[None]:
        """Within, a query of this dialect runs."""
        before, self._last = self._last, dialect
        if dialect is Dialect.RAYLITE:
            yield
            return
        if before is not dialect:
            # Statements that are kept compiled were judged by other rules: SQLite compiles each again.
            self._connection.set_authorizer(self._authorizer)
        # SQLite applies its limits to a schema that it reads, too, and that may hold what only raylite's rules allow.
        self._own.read_schema()
        self._limit(d1_rules.LIMITS)
        self._authorizer.d1 = True
        try:
            yield
        finally:
            self._authorizer.d1 = False
            self._limit(self._usual)

    def _limit(self, given: dict[int, int]) -> None:
        for limit, value in given.items():
            self._connection.limit(limit, value)


class Measures:
    """What D1 tells of a statement: the size without free pages, and whether that, rows or the last rowid changed."""

    def __init__(self, connection: Connection, own: OwnStatements) -> None:
        self._connection, self._own = connection, own
        self._page_bytes = own.number("PRAGMA page_size")
        self._size = self._rowid = 0

    def restart(self) -> None:
        """A query begins: what was before counts as the state before its first statement."""
        self._size, self._rowid = self._bytes(), self._connection.last_insert_rowid()

    def take(self, changes: int) -> tuple[int, bool]:
        """The size in bytes after a statement that changed so many rows, and whether it changed the database."""
        size, rowid = self._bytes(), self._connection.last_insert_rowid()
        changed = changes != 0 or (size, rowid) != (self._size, self._rowid)
        self._size, self._rowid = size, rowid
        return size, changed

    def _bytes(self) -> int:
        used = self._own.number("PRAGMA page_count") - self._own.number("PRAGMA freelist_count")
        return used * self._page_bytes
