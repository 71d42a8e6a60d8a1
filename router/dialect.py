"""SQLAlchemy's dialect for `raylite:///NAME`: SQLite's, over `raylite.dbapi` (docs/python.md, SQLAlchemy).

It only commits statement by statement. What a unit of work wrote cannot be rolled back, so its rollback raises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from sqlalchemy import exc, pool, util
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.engine import URL, Connection

from raylite import dbapi
from raylite.policies import limits

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import ConnectArgsType, DBAPIConnection, DBAPIModule, IsolationLevel

_OPTIONS: Final[dict[str, Callable[[Any], object]]] = {
    "region": str,
    "create": util.asbool,
    "consistency": str,
    "timeout": float,
}
"""What may follow `?` in the URL, as in `raylite.dbapi.connect`."""


class RayliteDialect(SQLiteDialect):
    """SQLite's SQL, types and reflection. All connections of an engine see what any of them has seen."""

    driver = "raylite"
    supports_statement_cache = True
    returns_native_bytes = True
    insertmanyvalues_max_parameters = limits.PARAMETERS

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._seen = dbapi.Seen()

    @classmethod
    def import_dbapi(cls) -> DBAPIModule:
        """The driver."""
        return cast("DBAPIModule", dbapi)

    @classmethod
    def get_pool_class(cls, url: URL) -> type[pool.Pool]:
        """Connections are kept: a new one would have to learn again which texts write."""
        return pool.QueuePool

    def create_connect_args(self, url: URL) -> ConnectArgsType:
        """What `connect` gets of `raylite:///NAME?region=weur` (or `raylite://NAME`)."""
        options: dict[str, Any] = {"name": url.database or url.host, "seen": self._seen}
        unknown = sorted(set(url.query) - set(_OPTIONS))
        if unknown or url.username or url.password or url.port or (url.database and url.host):
            raise exc.ArgumentError(
                f"{url.render_as_string()!r} is no raylite URL; those are raylite:///NAME, with "
                f"{', '.join(_OPTIONS)} after a question mark"
            )
        for name, value in url.query.items():
            options[name] = _OPTIONS[name](value)
        return [], options

    # Transactions: there are none

    def get_isolation_level_values(self, dbapi_connection: DBAPIConnection) -> Any:
        """The one that there is."""
        return ["AUTOCOMMIT"]

    def get_isolation_level(self, dbapi_connection: DBAPIConnection) -> Any:
        """The one that there is."""
        return "AUTOCOMMIT"

    def set_isolation_level(self, dbapi_connection: DBAPIConnection, level: IsolationLevel) -> None:
        """Nothing: SQLAlchemy has checked that it is the one that there is."""

    def detect_autocommit_setting(self, dbapi_conn: DBAPIConnection) -> bool:
        """True, so that `create_engine(..., skip_autocommit_rollback=True)` makes rollbacks do nothing."""
        return True

    def do_savepoint(self, connection: Connection, name: str) -> NoReturn:
        """Raises `NotSupportedError`."""
        raise dbapi.NotSupportedError(
            "raylite has no savepoints, so no nested transactions: every statement takes effect by itself. Nothing was "
            "run. Use one statement, or the driver's `batch`, for what must be all or nothing"
        )

    # Reflection: one schema, and no temporary tables

    def _get_server_version_info(self, connection: Any) -> tuple[int, ...]:
        return dbapi.sqlite_version_info

    def get_schema_names(self, connection: Connection, **kw: Any) -> list[str]:
        """The one that there is."""
        return ["main"]

    def get_temp_table_names(  # type: ignore[override] # SQLite's differs from the base
        self, connection: Any, sqlite_include_internal: Any = False, **kw: Any
    ) -> list[str]:
        """None: a temporary table would belong to one copy's connection."""
        return []

    def get_temp_view_names(  # type: ignore[override] # SQLite's differs from the base
        self, connection: Any, sqlite_include_internal: Any = False, **kw: Any
    ) -> list[str]:
        """None, likewise."""
        return []

    def _get_table_pragma(
        self, connection: Any, pragma: Any, table_name: Any, schema: Any = None
    ) -> Sequence[Any]:
        """SQLite's own asks for temporary tables as well, which is refused here."""
        rows = connection.exec_driver_sql(
            f"SELECT * FROM pragma_{pragma}(?, ?)", (table_name, schema or "main")
        )
        return cast("Sequence[Any]", rows.fetchall())
