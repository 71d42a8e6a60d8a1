"""What SQL text may ask for: SQLite calls an `Authorizer` for every action of every statement that it compiles.

Refused is what reaches outside the database (ATTACH, VACUUM INTO, loading code), a transaction by hand, temporary
objects (state of one connection, that no other copy would have), and every PRAGMA that is not in `PRAGMAS`.
SQLite asks while it compiles, not when it runs a statement that is compiled already; so what is noted here
(`settings`, `schema`, `effects`) holds only for statements that are not kept compiled, see `keeps_compiled`.
"""

from __future__ import annotations

import enum
import re
from typing import Final

import apsw

from raylite.actors.storage import d1_rules
from raylite.policies.errors import NotAllowed


class Use(enum.Enum):
    """How a PRAGMA may be used.

    READ: with or without an argument; SHOW: without; SETTING: its value holds until the query ends; STORE: without
    an argument, or as a write of the database header; EFFECT: changes the database though SQLite calls it read-only.
    """

    READ = enum.auto()
    SHOW = enum.auto()
    SETTING = enum.auto()
    STORE = enum.auto()
    EFFECT = enum.auto()


PRAGMAS: Final[dict[str, Use]] = {
    "table_info": Use.READ,
    "table_xinfo": Use.READ,
    "table_list": Use.READ,
    "index_list": Use.READ,
    "index_info": Use.READ,
    "index_xinfo": Use.READ,
    "foreign_key_list": Use.READ,
    "foreign_key_check": Use.READ,
    "quick_check": Use.READ,
    "integrity_check": Use.READ,
    "collation_list": Use.SHOW,
    "compile_options": Use.SHOW,
    "data_version": Use.SHOW,
    "encoding": Use.SHOW,
    "freelist_count": Use.SHOW,
    "function_list": Use.SHOW,
    "module_list": Use.SHOW,
    "page_count": Use.SHOW,
    "page_size": Use.SHOW,
    "pragma_list": Use.SHOW,
    "schema_version": Use.SHOW,
    "case_sensitive_like": Use.SETTING,
    "defer_foreign_keys": Use.SETTING,
    "foreign_keys": Use.SETTING,
    "ignore_check_constraints": Use.SETTING,
    "legacy_alter_table": Use.SETTING,
    "recursive_triggers": Use.SETTING,
    "reverse_unordered_selects": Use.SETTING,
    "application_id": Use.STORE,
    "user_version": Use.STORE,
    "optimize": Use.EFFECT,
}
"""The PRAGMAs that pass; all others are refused."""

DEFAULTS: Final[tuple[str, ...]] = tuple(
    f"PRAGMA {name}={'ON' if name == 'foreign_keys' else 'OFF'}"
    for name, use in PRAGMAS.items()
    if use is Use.SETTING
)
"""Statements that undo every SETTING."""

_BATCH: Final = "Use `batch`: its statements are one transaction."
_INSIDE: Final = "A query works inside its own database."
_D1: Final = "D1 refuses it, too."
_TEMPORARY: Final = "Use an ordinary table, or a WITH clause: replicas have no temporary objects."

_ALWAYS: Final = frozenset(
    {apsw.SQLITE_READ, apsw.SQLITE_SELECT, apsw.SQLITE_RECURSIVE, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE}
)
_SCHEMA: Final = frozenset(
    {
        apsw.SQLITE_CREATE_TABLE, apsw.SQLITE_CREATE_INDEX, apsw.SQLITE_CREATE_VIEW, apsw.SQLITE_CREATE_TRIGGER,
        apsw.SQLITE_CREATE_VTABLE, apsw.SQLITE_DROP_TABLE, apsw.SQLITE_DROP_INDEX, apsw.SQLITE_DROP_VIEW,
        apsw.SQLITE_DROP_TRIGGER, apsw.SQLITE_DROP_VTABLE, apsw.SQLITE_ALTER_TABLE, apsw.SQLITE_ANALYZE,
        apsw.SQLITE_REINDEX,
    }
)  # fmt: skip
_TEMPORARIES: Final = frozenset(
    {
        apsw.SQLITE_CREATE_TEMP_TABLE, apsw.SQLITE_CREATE_TEMP_INDEX, apsw.SQLITE_CREATE_TEMP_VIEW,
        apsw.SQLITE_CREATE_TEMP_TRIGGER, apsw.SQLITE_DROP_TEMP_TABLE, apsw.SQLITE_DROP_TEMP_INDEX,
        apsw.SQLITE_DROP_TEMP_VIEW, apsw.SQLITE_DROP_TEMP_TRIGGER,
    }
)  # fmt: skip
_FUNCTIONS: Final = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"})
_KEPT: Final = frozenset("sSiIuUdDwWrR")
_VACUUM: Final = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*VACUUM\b", re.IGNORECASE | re.DOTALL)


def keeps_compiled(sql: str) -> bool:
    """Whether the text may stay in APSW's statement cache: SELECT, WITH and row changes, by their first letter."""
    return sql[:64].lstrip()[:1] in _KEPT


def is_vacuum(sql: str) -> bool:
    """Whether the one statement in `sql` is a VACUUM; SQLite itself does not tell."""
    return _VACUUM.match(sql) is not None


class Authorizer:
    """SQLite's authoriser for one connection.

    own: the engine's own statements pass, set around them; wrapped: a whole file runs in one transaction, so the BEGIN
    and COMMIT that it may have do nothing, set around it; vacuum: a VACUUM runs, which attaches a nameless file of
    its own. refusal: why the last action was refused; settings, schema, effects: what was compiled since they were
    last cleared: a SETTING with a value, a schema statement, an EFFECT; d1: D1's rules hold as well.
    """

    __slots__ = ("d1", "effects", "own", "refusal", "schema", "settings", "vacuum", "wrapped")

    def __init__(self) -> None:
        self.own = self.wrapped = self.vacuum = self.settings = self.schema = self.effects = self.d1 = False
        self.refusal: NotAllowed | None = None

    def clear(self) -> None:
        """Forgets what was noted, before a query."""
        self.vacuum = self.settings = self.schema = self.effects = False
        self.refusal = None

    def __call__(
        self, action: int, first: str | None, second: str | None, database: str | None, _inside: str | None
    ) -> int:
        """SQLite's verdict; what the strings mean depends on the action (c3ref/c_alter_table.html)."""
        if action in _ALWAYS or self.own:
            return apsw.SQLITE_OK
        if self.wrapped and action == apsw.SQLITE_TRANSACTION and first != "ROLLBACK":
            return apsw.SQLITE_IGNORE
        self.schema = self.schema or action in _SCHEMA
        if self.d1 and action == apsw.SQLITE_FUNCTION:
            # Without a refusal of our own, SQLite's says which function, and where.
            return apsw.SQLITE_OK if d1_rules.function_passes(second or "") else apsw.SQLITE_DENY
        refusal = self._judge(action, first or "", second, database)
        if refusal is None and self.d1:
            refusal = _of_d1(action, first or "", second)
        if refusal is None:
            return apsw.SQLITE_OK
        self.refusal = refusal
        return apsw.SQLITE_DENY

    def _judge(self, action: int, first: str, second: str | None, database: str | None) -> NotAllowed | None:
        if action in _TEMPORARIES or (
            database == "temp" and (action in _SCHEMA or action == apsw.SQLITE_INSERT)
        ):
            return NotAllowed("a temporary table, index, view or trigger", _TEMPORARY)
        if action == apsw.SQLITE_FUNCTION:
            name = (second or "").lower()
            return NotAllowed(f"the function {name}", _INSIDE) if name in _FUNCTIONS else None
        if action == apsw.SQLITE_PRAGMA:
            return self._pragma(first.lower(), second, database)
        if action in {apsw.SQLITE_TRANSACTION, apsw.SQLITE_SAVEPOINT}:
            return None if self.vacuum else _by_hand(action, first)
        if action in {apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH}:
            return self._attach(action, first)
        return None

    def _attach(self, action: int, name: str) -> NotAllowed | None:
        if not self.vacuum:
            return NotAllowed("ATTACH" if action == apsw.SQLITE_ATTACH else "DETACH", _INSIDE)
        return NotAllowed("VACUUM INTO", _INSIDE) if name else None

    def _pragma(self, name: str, value: str | None, database: str | None) -> NotAllowed | None:
        use = PRAGMAS.get(name)
        if use is None or database not in {None, "main"} or (use is Use.SHOW and value is not None):
            shown = f"PRAGMA {name}" if value is None else f"PRAGMA {name}={value[:40]}"
            return NotAllowed(
                shown, "raylite sets this itself; docs/architecture.md lists the PRAGMAs that pass."
            )
        self.settings = self.settings or (use is Use.SETTING and value is not None)
        self.effects = self.effects or use is Use.EFFECT
        return None


def _of_d1(action: int, first: str, second: str | None) -> NotAllowed | None:
    if action == apsw.SQLITE_PRAGMA and not d1_rules.pragma_passes(first.lower(), second):
        return NotAllowed(f"PRAGMA {first}", _D1)
    if action == apsw.SQLITE_CREATE_VTABLE and not d1_rules.module_passes(second or ""):
        return NotAllowed(f"a virtual table of {second}", _D1)
    name = second if action == apsw.SQLITE_ALTER_TABLE else first
    if action in _SCHEMA and not d1_rules.name_passes(name or ""):
        return NotAllowed(f"the name {name}", _D1)
    return None


def _by_hand(action: int, operation: str) -> NotAllowed:
    if action == apsw.SQLITE_TRANSACTION:
        return NotAllowed(operation, _BATCH)
    return NotAllowed("SAVEPOINT" if operation == "BEGIN" else f"{operation} of a savepoint", _BATCH)
