"""The engine's own statements, which its authoriser lets pass."""

from __future__ import annotations

from typing import Final

import apsw

from raylite.actors.storage.authorizer import DEFAULTS, Authorizer
from raylite.actors.storage.engine_apsw import Connection, Row

_ATTEMPTS: Final = 3


class OwnStatements:
    """Runs them on the engine's connection; errors are APSW's.

    None is kept compiled: SQLite would then run a user's identical text without asking the authoriser.
    """

    def __init__(self, connection: Connection, authorizer: Authorizer) -> None:
        self._connection, self._authorizer = connection, authorizer

    def once(self, sql: str) -> list[Row]:
        """The rows of the statement."""
        self._authorizer.own = True
        try:
            return list(self._connection.execute(sql, can_cache=False))
        finally:
            self._authorizer.own = False

    def repeatable(self, sql: str) -> list[Row]:
        """`once`, for what may run twice: an `interrupt` that was meant for a query does not stop it."""
        for _ in range(_ATTEMPTS):
            try:
                return self.once(sql)
            except apsw.InterruptError:
                continue
        return self.once(sql)

    def read_schema(self) -> None:
        """Has SQLite read the schema if another connection has changed it, which it does not do for every PRAGMA."""
        self.repeatable("SELECT 1 FROM sqlite_schema LIMIT 0")

    def number(self, sql: str) -> int:
        """The one integer that the statement gives."""
        value = self.repeatable(sql)[0][0]
        assert isinstance(value, int)
        return value

    def restore_settings(self) -> None:
        """Gives every setting that a PRAGMA may change its default."""
        for statement in DEFAULTS:
            self.repeatable(statement)
