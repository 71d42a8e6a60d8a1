"""Queries and answers, as they travel between router, primary and replica."""

from __future__ import annotations

import enum

import msgspec

Value = None | int | float | str | bytes


class Mode(enum.StrEnum):
    """RUN: one statement; BATCH: statements in one transaction; SCRIPT: SQL text of many statements, each its own."""

    RUN = "run"
    BATCH = "batch"
    SCRIPT = "script"


class Dialect(enum.StrEnum):
    """Whose rules for SQL hold: raylite's own, or those of Cloudflare's D1 (docs/compatibility.md)."""

    RAYLITE = "raylite"
    D1 = "d1"


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """SQL text and its positional parameters."""

    sql: str
    params: tuple[Value, ...] = ()


class Query(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """One query of one session.

    bookmark: text of the newest bookmark that the session has seen, or "" for none; seconds: how long the caller
    waits from now on; primary: answer from the primary only; at: text of the bookmark whose state is to be read, ""
    for the current one.

    key: 16 random bytes that all attempts at one query have in common, empty for a query that is sent once; since:
    text of the newest bookmark that the router had seen before any attempt that may have run, or "": where the key of
    an entry behind it may be forgotten nobody can say whether this was run, so it is not; repeated: one may have run.
    dialect: never D1 for a script.
    """

    database: str
    mode: Mode
    statements: tuple[Statement, ...]
    bookmark: str
    seconds: float
    primary: bool = False
    at: str = ""
    key: bytes = b""
    since: str = ""
    repeated: bool = False
    dialect: Dialect = Dialect.RAYLITE


class StatementMeta(msgspec.Struct, frozen=True, array_like=True):
    """What one statement did.

    duration_ms: SQLite's time; changes: rows that this statement changed; last_row_id: of the last INSERT;
    size_after: database size in bytes; rows_read, rows_written: estimates (docs/architecture.md), None if unknown;
    own_changes: those of `changes` that are not of triggers and foreign key actions.
    """

    duration_ms: float
    changes: int
    last_row_id: int
    changed_db: bool
    size_after: int
    rows_read: int | None
    rows_written: int | None
    own_changes: int = 0


class Rows(msgspec.Struct, frozen=True, array_like=True):
    """The rows of one statement. columns: names in order; each row as long as columns."""

    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]
    meta: StatementMeta


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The answer to a query: one `Rows` a statement; bookmark: text of the entry that it may have seen.

    wrote: a statement was not read-only, so the next query of that text belongs to the primary.
    """

    results: list[Rows]
    bookmark: str
    served_by: str
    region: str
    primary: bool
    wrote: bool


class Failure(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An error on the wire: its class in `policies.errors` and its fields. bookmark: as in `Answer`, or ""."""

    error: str
    fields: tuple[str | int | float, ...]
    bookmark: str = ""
