"""The SQL of a database: what it looks like, and that it makes the same database again."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylite.actors.storage.engine_apsw import viewed
from raylite.policies.errors import NotAllowed, ParameterError, StatementError
from raylite.policies.query import Value
from raylite.router.dump import Selection, dump, literal, quoted

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.text("\n\r\\nr'()01", max_size=12),
    st.binary(max_size=12),
)


def made(path: Path, sql: str) -> Path:
    connection = viewed(apsw.Connection(str(path)))
    connection.execute(sql)
    connection.close()
    return path


def everything(path: Path) -> list[tuple[Value, ...]]:
    connection = viewed(apsw.Connection(str(path)))
    tables = [str(row[0]) for row in connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")]
    found = list(connection.execute("SELECT type, name, tbl_name FROM sqlite_schema ORDER BY 1, 2"))
    for table in tables:
        found += connection.execute(f"SELECT * FROM {quoted(table)} ORDER BY 1")
    connection.close()
    return found


def test_the_form_is_that_of_d1(tmp_path: Path) -> None:
    path = made(
        tmp_path / "a",
        """CREATE TABLE plain (id INTEGER PRIMARY KEY AUTOINCREMENT, v);
        CREATE TABLE "q uoted" (a TEXT, b AS (a || 'x'), c BLOB);
        CREATE INDEX i ON plain (v);
        CREATE TRIGGER tr AFTER INSERT ON plain BEGIN SELECT 1; END;
        CREATE VIEW v AS SELECT * FROM plain;
        INSERT INTO plain VALUES (1, 2.0), (7, 'it''s'), (8, 'two' || char(10) || 'lines');
        INSERT INTO "q uoted" (a, c) VALUES (NULL, X'00FF')""",
    )
    assert list(dump(path, Selection())) == [
        "PRAGMA defer_foreign_keys=TRUE;",
        "CREATE TABLE plain (id INTEGER PRIMARY KEY AUTOINCREMENT, v);",
        "CREATE TABLE IF NOT EXISTS \"q uoted\" (a TEXT, b AS (a || 'x'), c BLOB);",
        'INSERT INTO "plain" ("id","v") VALUES(1,2.0);',
        'INSERT INTO "plain" ("id","v") VALUES(7,\'it\'\'s\');',
        'INSERT INTO "plain" ("id","v") VALUES(8,replace(\'two\\nlines\',\'\\n\',char(10)));',
        'INSERT INTO "q uoted" ("a","c") VALUES(NULL,X\'00ff\');',
        "DELETE FROM sqlite_sequence;",
        'INSERT INTO "sqlite_sequence" ("name","seq") VALUES(\'plain\',8);',
        "CREATE VIEW v AS SELECT * FROM plain;",
        "CREATE TRIGGER tr AFTER INSERT ON plain BEGIN SELECT 1; END;",
        "CREATE INDEX i ON plain (v);",
    ]


def test_tables_schema_and_data_can_be_chosen(tmp_path: Path) -> None:
    path = made(
        tmp_path / "a",
        """CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT); CREATE TABLE b (id INTEGER PRIMARY KEY AUTOINCREMENT);
        CREATE INDEX ia ON a (id); CREATE INDEX ib ON b (id); CREATE VIEW v AS SELECT 1;
        INSERT INTO a VALUES (1); INSERT INTO b VALUES (2)""",
    )
    assert list(dump(path, Selection(("b",)))) == [
        "PRAGMA defer_foreign_keys=TRUE;",
        "CREATE TABLE b (id INTEGER PRIMARY KEY AUTOINCREMENT);",
        'INSERT INTO "b" ("id") VALUES(2);',
        "DELETE FROM sqlite_sequence WHERE name IN ('b');",
        'INSERT INTO "sqlite_sequence" ("name","seq") VALUES(\'b\',2);',
        "CREATE INDEX ib ON b (id);",
    ]
    assert not any(one.startswith("INSERT") for one in dump(path, Selection(data=False)))
    rows = list(dump(path, Selection(schema=False)))
    assert {one.split()[0] for one in rows} == {"PRAGMA", "INSERT"}


def test_what_sql_cannot_tell_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "a", "CREATE TABLE a (x); CREATE VIRTUAL TABLE words USING fts5(word)")
    with pytest.raises(NotAllowed, match="words"):
        list(dump(path, Selection()))
    assert len(list(dump(path, Selection(("a",))))) == 2
    with pytest.raises(ParameterError, match="nowhere"):
        list(dump(path, Selection(("nowhere",))))
    odd = made(tmp_path / "b", "CREATE TABLE t (x); INSERT INTO t VALUES (CAST(X'ff' AS TEXT))")
    with pytest.raises(StatementError, match="UTF-8"):
        list(dump(odd, Selection()))


@given(VALUES)
def test_a_literal_gives_the_same_value_of_the_same_type(value: Value) -> None:
    connection = viewed(apsw.Connection(":memory:"))
    text = literal(value)
    [row] = connection.execute(f"SELECT {text}, typeof({text})")
    names = {type(None): "null", int: "integer", float: "real", str: "text", bytes: "blob"}
    assert (repr(row[0]), row[1]) == (repr(value), names[type(value)])
    assert "\n" not in text


def test_the_statements_make_the_same_database_again(tmp_path: Path) -> None:
    path = made(
        tmp_path / "a",
        """CREATE TABLE child (p REFERENCES parent (id)); CREATE TABLE parent (id INTEGER PRIMARY KEY);
        CREATE TABLE "odd ""name" ("a ""b", [select], PRIMARY KEY ([select])) WITHOUT ROWID;
        CREATE TABLE s (n INTEGER PRIMARY KEY AUTOINCREMENT, x UNIQUE);
        CREATE INDEX part ON s (x) WHERE x > 1; CREATE VIEW w AS SELECT x FROM s;
        CREATE TRIGGER t INSTEAD OF INSERT ON w BEGIN INSERT INTO s (x) VALUES (new.x); END;
        INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1);
        INSERT INTO "odd ""name" VALUES (1, 'one'), (2.5, 'two');
        INSERT INTO w VALUES (9), (3); DELETE FROM s WHERE x = 3; ANALYZE""",
    )
    copy = made(tmp_path / "b", "\n".join(dump(path, Selection())))
    assert everything(copy) == everything(path)
