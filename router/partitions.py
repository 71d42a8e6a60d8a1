"""How the rows of one query are cut into parts that are read at one bookmark by many (docs/python.md, Ray Data).

The rule: a column whose values are all numbers or NULL, the first such one unless its name is given, is cut into ranges
of equal width between its least and its greatest value; rows where it is NULL belong to the first range. The ranges
are disjoint and leave nothing out, for SQLite compares numbers exactly.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from raylite.policies import limits
from raylite.policies.errors import ParameterError
from raylite.policies.query import Value
from raylite.router.sync import Database, Past, Session

Number = int | float


class Kind(enum.StrEnum):
    """What all values of a column are, besides NULL."""

    NOTHING = "null"
    INTEGER = "integer"
    REAL = "real"
    TEXT = "text"
    BLOB = "blob"


class Column(msgspec.Struct, frozen=True):
    """A column of the result. low, high: its least and greatest value if all are numbers, None if there are none."""

    name: str
    kind: Kind
    low: Number | None = None
    high: Number | None = None


class Part(msgspec.Struct, frozen=True):
    """One part of the rows. region: whose copy is asked for it."""

    sql: str
    params: tuple[Value, ...]
    region: str


class Plan(msgspec.Struct, frozen=True):
    """What is read: `parts` of one database, which together are all rows.

    columns: what is in the state at `bookmark`, of which every part is read; None if the one part is all there is, and
    is read in whatever state its copy shows by then, at least that one.
    """

    database: str
    bookmark: str
    parts: tuple[Part, ...]
    columns: tuple[Column, ...] | None = None


def plan(
    database: Database, sql: str, params: Sequence[Value], count: int, column: str, regions: Sequence[str]
) -> Plan:
    """At most `count` parts of what `sql` finds now, for copies in these regions in turn; column: "" for any.

    Above one part the primary reads all rows once, for the columns' types and the least and greatest value.
    Raises `ParameterError` if the rows cannot be cut so, `NotAllowed` without cold storage if there is a cut.
    """
    if not 1 <= count <= limits.BATCH_STATEMENTS:
        raise ParameterError(f"parallelism is a number from 1 to {limits.BATCH_STATEMENTS}, not {count}")
    bookmark, given = _newest(database), tuple(params)
    inner = f"SELECT * FROM (\n{sql.rstrip().rstrip(';')}\n)"
    if count == 1:
        return Plan(database.name, bookmark, (Part(inner, given, regions[0]),))
    # The primary brings the state into cold storage, where all other copies find it.
    columns = _columns(database.at(bookmark), inner, given)
    parts = [
        Part(f"{inner} {condition}".rstrip(), (*given, *bounds), regions[index % len(regions)])
        for index, (condition, bounds) in enumerate(conditions(_chosen(columns, column), count))
    ]
    return Plan(database.name, bookmark, tuple(parts), columns)


def read(plan: Plan, part: Part, database: Database) -> list[list[Value]]:
    """The names of the columns, then the rows of a part, from the copy that is nearest to that handle's region."""
    source: Session | Past = (
        database.with_session(plan.bookmark)
        if plan.columns is None
        else database.at(plan.bookmark, anywhere=True)
    )
    return source.prepare(part.sql).bind(*part.params).raw(column_names=True)


def _newest(database: Database) -> str:
    session = database.with_session("first-primary")
    session.prepare("SELECT 1").run()
    return session.bookmark


def _columns(source: Past, inner: str, params: Sequence[Value]) -> tuple[Column, ...]:
    """The columns of the result, and what is in them."""
    names = [str(one) for one in source.prepare(f"{inner} LIMIT 0").bind(*params).raw(column_names=True)[0]]
    wanted = ", ".join(map(_facts, names))
    row = source.prepare(f"SELECT {wanted} FROM ({inner})").bind(*params).raw()[0]
    return tuple(_column(name, row[5 * index : 5 * index + 5]) for index, name in enumerate(names))


def _facts(name: str) -> str:
    """Least and greatest type, whether a value is REAL, and the least and greatest number."""
    it = _quoted(name)
    number = f"CASE WHEN typeof({it}) IN ('integer', 'real') THEN {it} END"
    return f"typeof(min({it})), typeof(max({it})), max(typeof({it}) = 'real'), min({number}), max({number})"


def _column(name: str, facts: Sequence[Value]) -> Column:
    kinds = {str(facts[0]), str(facts[1])}
    low, high = facts[3], facts[4]
    if kinds <= {Kind.INTEGER, Kind.REAL}:
        assert isinstance(low, Number), "its type says so"
        assert isinstance(high, Number), "its type says so"
        return Column(name, Kind.REAL if facts[2] else Kind.INTEGER, low, high)
    if len(kinds) == 1:
        return Column(name, Kind(kinds.pop()))
    raise ParameterError(
        f"the column {name} has values of several types, {' and '.join(sorted(kinds))}: CAST it to one of them"
    )


def _chosen(columns: Sequence[Column], name: str) -> Column:
    """The column of that name, or the first of numbers; raises `ParameterError`."""
    usable = [one for one in columns if one.kind in {Kind.INTEGER, Kind.REAL, Kind.NOTHING}]
    usable = [
        one for one in usable if one.low is None or math.isfinite(float(one.high or 0) - float(one.low))
    ]
    found = [one for one in usable if name in {"", one.name}]
    if not found:
        wanted = f"{name} is no column" if name else "the result has no column"
        raise ParameterError(
            f"{wanted} whose values are all finite numbers, by which its rows could be cut into parts; those are "
            f"{', '.join(one.name for one in usable) or 'none'}. Use parallelism=1, or add one"
        )
    return min(found, key=lambda one: one.low is None)


def conditions(column: Column, count: int) -> list[tuple[str, tuple[Number, ...]]]:
    """At most `count` conditions of which each row meets exactly one, with their values."""
    it, cuts = _quoted(column.name), _cuts(column, count)
    if not cuts:
        return [("", ())]
    between = [(f"WHERE {it} >= ? AND {it} < ?", pair) for pair in pairwise(cuts)]
    return [
        (f"WHERE {it} < ? OR {it} IS NULL", (cuts[0],)),
        *between,
        (f"WHERE {it} >= ?", (cuts[-1],)),
    ]


def _cuts(column: Column, count: int) -> list[Number]:
    """Where the ranges behind the first one begin, rising."""
    low, high = column.low, column.high
    if low is None or high is None:
        return []
    if isinstance(low, int) and isinstance(high, int):
        return sorted({low + (high + 1 - low) * index // count for index in range(1, count)} - {low})
    width = high / count - low / count
    return sorted({low + width * index for index in range(1, count)} - {low})


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
