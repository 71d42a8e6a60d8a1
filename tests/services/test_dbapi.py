"""The PEP 249 driver against a whole system in one process."""

from __future__ import annotations

import datetime
import inspect
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.services.python_system import PythonSystem
from tests.unit.router_world import NEAR, PRIMARY, WRITE, World

from raylite import dbapi
from raylite.policies import errors
from raylite.policies.errors import NoReply, StorageFull
from raylite.router.background import background
from raylite.router.dbapi.errors import translated
from raylite.router.sync import Database


@pytest.fixture
def connection(database: Database) -> Iterator[dbapi.Connection]:
    made = dbapi.connect(database)
    made.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)").close()
    made.commit()
    yield made
    made.close()


def test_the_module_says_what_it_is() -> None:
    assert (dbapi.apilevel, dbapi.threadsafety, dbapi.paramstyle) == ("2.0", 2, "qmark")
    assert dbapi.sqlite_version_info >= (3, 45)
    assert dbapi.Binary(b"x") == b"x"
    assert not hasattr(dbapi.Cursor, "callproc")
    assert not hasattr(dbapi.Cursor, "nextset")


def test_dates_and_times_are_texts_that_sqlite_understands(connection: dbapi.Connection) -> None:
    given = (dbapi.Date(2026, 1, 31), dbapi.Time(23, 59, 9), dbapi.Timestamp(2026, 1, 31, 23, 59, 9))
    found = connection.execute("SELECT ?1, ?2, ?3, date(?1), time(?2), datetime(?3)", given).fetchone()
    assert found == ("2026-01-31", "23:59:09", "2026-01-31 23:59:09") * 2
    moment = datetime.datetime(2026, 1, 31, 23, 59, 9)
    ticks = moment.timestamp() + 0.9
    assert (dbapi.DateFromTicks(ticks), dbapi.TimeFromTicks(ticks)) == given[:2]
    assert dbapi.TimestampFromTicks(ticks) == given[2]


def test_settings_of_other_drivers_are_refused_and_never_ignored(connection: dbapi.Connection) -> None:
    assert connection.autocommit
    connection.autocommit = True
    with pytest.raises(dbapi.NotSupportedError, match="autocommit stays on"):
        connection.autocommit = False
    for one in (connection, connection.cursor()):
        with pytest.raises(AttributeError, match="row_factory"):
            setattr(one, "row_factory", dict)  # noqa: B010 - type checkers refuse the assignment, rightly


def test_the_tree_of_errors_is_that_of_pep_249() -> None:
    below = {
        dbapi.InterfaceError: dbapi.Error,
        dbapi.DatabaseError: dbapi.Error,
        dbapi.DataError: dbapi.DatabaseError,
        dbapi.OperationalError: dbapi.DatabaseError,
        dbapi.IntegrityError: dbapi.DatabaseError,
        dbapi.InternalError: dbapi.DatabaseError,
        dbapi.ProgrammingError: dbapi.DatabaseError,
        dbapi.NotSupportedError: dbapi.DatabaseError,
        dbapi.OutcomeUnknown: dbapi.OperationalError,
    }
    assert all(one.__base__ is base for one, base in below.items())
    names = ["Warning", "Error", *(one.__name__ for one in below if one is not dbapi.OutcomeUnknown)]
    assert all(getattr(dbapi.Connection, name) is getattr(dbapi, name) for name in names)


def test_a_connection_reads_what_it_wrote_and_rows_come_in_any_portion(connection: dbapi.Connection) -> None:
    cursor = connection.cursor()
    cursor.executemany("INSERT INTO t VALUES (?, ?)", [(n, f"row {n}") for n in range(10)])
    assert (cursor.rowcount, cursor.description, cursor.lastrowid) == (10, None, None)
    cursor.execute("SELECT a, b AS a, a + 1 FROM t ORDER BY a")
    assert [one[0] for one in cursor.description or ()] == ["a", "a", "a + 1"]
    assert cursor.rowcount == -1
    assert cursor.fetchone() == (0, "row 0", 1)
    assert cursor.fetchmany() == [(1, "row 1", 2)]
    assert [one[0] for one in cursor.fetchmany(3)] == [2, 3, 4]
    assert next(cursor)[0] == 5
    assert [one[0] for one in cursor.fetchall()] == [6, 7, 8, 9]
    assert (cursor.fetchone(), cursor.fetchmany(5), cursor.fetchall(), list(cursor)) == (None, [], [], [])


def test_values_come_back_as_sqlite_has_them(connection: dbapi.Connection) -> None:
    given = [None, 1, -(2**63), 1.5, "text ü", b"\x00\xff", True]
    row = connection.execute("SELECT ?, ?, ?, ?, ?, ?, ?", given).fetchone()
    assert row == (None, 1, -(2**63), 1.5, "text ü", b"\x00\xff", 1)
    assert [type(one) for one in row or ()] == [type(None), int, int, float, str, bytes, int]


def test_a_result_without_rows_has_columns_and_a_write_has_none(connection: dbapi.Connection) -> None:
    cursor = connection.execute("SELECT a, b FROM t WHERE a = 99")
    assert [one[0] for one in cursor.description or ()] == ["a", "b"]
    assert cursor.fetchall() == []
    cursor.execute("DELETE FROM t")
    assert (cursor.description, cursor.rowcount) == (None, 0)
    with pytest.raises(dbapi.ProgrammingError, match="no rows"):
        cursor.fetchall()


def test_the_row_count_leaves_out_triggers_and_cascades(connection: dbapi.Connection) -> None:
    connection.executescript(
        """
        CREATE TABLE child (a REFERENCES t ON DELETE CASCADE);
        CREATE TABLE log (a);
        CREATE TRIGGER logged AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.a); INSERT INTO log VALUES (0); END;
        INSERT INTO t VALUES (1, 'x'), (2, 'y');
        INSERT INTO child VALUES (1), (1), (1)
        """
    )
    assert connection.execute("UPDATE t SET b = 'z'").rowcount == 2
    assert connection.execute("DELETE FROM t WHERE a = 1").rowcount == 1
    assert connection.execute("SELECT count(*) FROM child").fetchone() == (0,)


def test_the_last_row_id_is_that_of_this_statement_alone(connection: dbapi.Connection) -> None:
    cursor = connection.execute("INSERT INTO t VALUES (41, 0)")
    assert (cursor.lastrowid, cursor.rowcount) == (41, 1)
    assert cursor.execute("INSERT INTO t (b) VALUES (?) RETURNING a", ["x"]).fetchall() == [(42,)]
    assert cursor.lastrowid == 42
    assert cursor.execute("-- not new\nINSERT OR IGNORE INTO t VALUES (41, 1)").lastrowid is None
    assert cursor.execute("UPDATE t SET b = 1").lastrowid is None
    assert cursor.execute("WITH n AS (SELECT 50) INSERT INTO t (a) SELECT * FROM n").lastrowid == 50
    assert cursor.execute(
        "WITH n AS (SELECT ' INSERT INTO ' AS x) UPDATE t SET b = replace(b, 1, x) FROM n"
    ).rowcount
    assert cursor.lastrowid is None
    assert cursor.execute("REPLACE INTO t VALUES (50, 'it''s')").lastrowid == 50
    cursor.close()
    assert (cursor.lastrowid, cursor.rowcount) == (50, 1)


def test_many_rows_are_all_written_or_none(connection: dbapi.Connection) -> None:
    with pytest.raises(dbapi.IntegrityError, match="UNIQUE") as caught:
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(1, "a"), (2, "b"), (1, "c")])
    assert isinstance(caught.value.__cause__, errors.ConstraintError)
    assert caught.value.sqlite_errorcode == 1555
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    connection.rollback()
    assert connection.executemany("INSERT INTO t VALUES (?, ?)", []).rowcount == 0
    with pytest.raises(dbapi.DataError, match="10000"):
        connection.executemany("INSERT INTO t VALUES (?, ?)", ((n, n) for n in range(10_001)))


def test_a_script_is_all_or_nothing_and_its_comments_and_triggers_are_understood(
    connection: dbapi.Connection,
) -> None:
    with pytest.raises(dbapi.OperationalError, match="no such table: missing"):
        connection.executescript("INSERT INTO t VALUES (1, ';'); INSERT INTO missing VALUES (1);")
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    not_text: Any = 5
    with pytest.raises(dbapi.ProgrammingError, match="is text, not a int"):
        connection.executescript(not_text)
    connection.executescript("  -- nothing; here\n")
    connection.executescript(
        "INSERT INTO t VALUES (1, ';'); /* ; */ INSERT INTO t VALUES (2, '--'); -- the end"
    )
    assert connection.execute("SELECT b FROM t ORDER BY a").fetchall() == [(";",), ("--",)]


def test_a_batch_is_one_transaction_with_a_result_for_each(connection: dbapi.Connection) -> None:
    inserted, read = connection.batch(
        [("INSERT INTO t VALUES (?, ?)", (7, "x")), ("SELECT b FROM t WHERE a = ?", (7,))]
    )
    assert (inserted.lastrowid, inserted.rowcount, read.fetchall()) == (7, 1, [("x",)])
    with pytest.raises(dbapi.IntegrityError):
        connection.batch([("DELETE FROM t", ()), ("INSERT INTO t VALUES (1, 1), (1, 1)", ())])
    assert connection.execute("SELECT a FROM t").fetchall() == [(7,)]


def test_a_rollback_after_a_write_is_refused_once(connection: dbapi.Connection) -> None:
    connection.execute("SELECT 1")
    connection.execute("UPDATE t SET b = 1")
    connection.rollback()  # nothing was changed
    connection.execute("INSERT INTO t VALUES (1, 1)")
    with pytest.raises(dbapi.NotSupportedError, match="has taken effect and stays") as caught:
        connection.rollback()
    assert caught.value.may_have_applied
    connection.rollback()
    connection.execute("INSERT INTO t VALUES (2, 1)")
    connection.commit()
    connection.rollback()
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (2,)


def test_a_block_that_fails_after_a_write_does_not_pretend(connection: dbapi.Connection) -> None:
    with connection:
        connection.execute("INSERT INTO t VALUES (1, 1)")
    with pytest.raises(ValueError, match="mine"), connection:
        raise ValueError("mine")
    with pytest.raises(dbapi.NotSupportedError) as caught:
        _write_and_fail(connection)
    assert isinstance(caught.value.__context__, ValueError)


def _write_and_fail(connection: dbapi.Connection) -> None:
    with connection:
        connection.execute("INSERT INTO t VALUES (2, 1)")
        raise ValueError("mine")


@pytest.mark.parametrize(
    ("sql", "parameters", "kind"),
    [
        ("SELEC 1", (), dbapi.OperationalError),
        ("SELECT * FROM missing", (), dbapi.OperationalError),
        ("SELECT ?", (), dbapi.ProgrammingError),
        ("SELECT ?", (datetime.date(2026, 1, 31),), dbapi.ProgrammingError),
        ("SELECT ?", (2**63,), dbapi.ProgrammingError),
        ("SELECT :a", {"a": 1}, dbapi.ProgrammingError),
        ("SELECT ?", "x", dbapi.ProgrammingError),
        ("BEGIN", (), dbapi.NotSupportedError),
        ("SAVEPOINT a", (), dbapi.NotSupportedError),
        ("ATTACH 'x' AS x", (), dbapi.NotSupportedError),
        ("PRAGMA journal_mode = DELETE", (), dbapi.NotSupportedError),
        ("SELECT 1; SELECT 2", (), dbapi.NotSupportedError),
        ("SELECT zeroblob(100000000)", (), dbapi.DataError),
        ("INSERT INTO t VALUES ('x', 1)", (), dbapi.IntegrityError),
        ("", (), dbapi.OperationalError),
    ],
)
def test_an_error_is_of_the_class_that_pep_249_has_for_it(
    connection: dbapi.Connection, sql: str, parameters: tuple[str, ...], kind: type[dbapi.Error]
) -> None:
    with pytest.raises(kind) as caught:
        connection.execute(sql, parameters)
    assert type(caught.value) is kind
    assert not caught.value.may_have_applied
    connection.rollback()


@pytest.mark.parametrize("parameters", [{"a": 1}, "x", b"x", 5, None])
def test_parameters_that_are_no_sequence_are_refused_wherever_they_are_given(
    connection: dbapi.Connection, parameters: Any
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: connection.execute("INSERT INTO t VALUES (1, ?)", parameters),
        lambda: connection.executemany("INSERT INTO t VALUES (1, ?)", [parameters]),
        lambda: connection.batch([("INSERT INTO t VALUES (1, ?)", parameters)]),
    ]
    for call in calls:
        with pytest.raises(dbapi.ProgrammingError, match="Nothing was run"):
            call()
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def tree(kind: type[errors.Error]) -> Iterator[type[errors.Error]]:
    yield kind
    for one in kind.__subclasses__():
        yield from tree(one)


@pytest.mark.parametrize("kind", list(tree(errors.Error)), ids=lambda kind: kind.__name__)
def test_every_error_has_a_class_pickles_and_says_whether_a_write_may_stay(kind: type[errors.Error]) -> None:
    fields = inspect.signature(kind).parameters.values()
    error = kind(*("x" if "str" in str(one.annotation) else 1 for one in fields))
    found = translated(error)
    again: dbapi.Error = pickle.loads(pickle.dumps(found))
    assert (type(again), str(again)) == (type(found), str(error))
    assert again.may_have_applied == error.may_have_applied
    assert isinstance(found, dbapi.OutcomeUnknown) == isinstance(error, errors.OutcomeUnknown)


def test_a_closed_connection_or_cursor_says_so(connection: dbapi.Connection) -> None:
    cursor = connection.execute("SELECT 1")
    cursor.close()
    with pytest.raises(dbapi.ProgrammingError):
        cursor.fetchall()
    with pytest.raises(dbapi.ProgrammingError):
        cursor.execute("SELECT 1")
    left = connection.execute("SELECT 1")
    connection.close()
    connection.close()
    calls: list[Callable[[], object]] = [connection.cursor, connection.commit, connection.rollback]
    calls += [left.fetchone, left.fetchall, left.fetchmany, lambda: left.executemany("SELECT 1", [])]
    for call in calls:
        with pytest.raises(dbapi.ProgrammingError, match="is closed"):
            call()


def test_connections_that_share_what_they_have_seen_are_one_session(
    connection: dbapi.Connection, served: PythonSystem
) -> None:
    seen = dbapi.Seen()
    writer = dbapi.connect(served.database(), seen=seen)
    reader = dbapi.connect(served.database(), seen=seen)
    for n in range(50):
        writer.execute("INSERT INTO t VALUES (?, 0)", [n])
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (n + 1,)
    assert reader.bookmark == seen.bookmark == writer.bookmark


def test_a_connection_goes_on_where_another_one_was(connection: dbapi.Connection, database: Database) -> None:
    connection.execute("INSERT INTO t VALUES (1, 1)")
    other = dbapi.connect(database, consistency=connection.bookmark)
    assert other.execute("SELECT count(*) FROM t").fetchone() == (1,)
    with pytest.raises(dbapi.ProgrammingError, match="bookmark"):
        dbapi.connect(database, consistency="whatever")


def test_threads_may_share_a_connection(connection: dbapi.Connection) -> None:
    def work(n: int) -> None:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO t VALUES (?, ?)", [n, threading.get_ident()])
        assert cursor.lastrowid == n
        assert cursor.execute("SELECT a FROM t WHERE a = ?", [n]).fetchall() == [(n,)]

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(1, 41)))
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (40,)


def test_a_write_whose_answer_is_lost_is_unknown_and_counts_as_one() -> None:
    world = World()

    async def make() -> Database:
        return Database(world.database())

    connection = dbapi.connect(background.run(make()))
    world.on(NEAR, NoReply("it", "the connection ended"))
    world.on(PRIMARY, StorageFull("/data", "no space left"))
    with pytest.raises(dbapi.OutcomeUnknown) as caught:
        connection.execute(WRITE)
    assert caught.value.may_have_applied
    assert isinstance(caught.value.__cause__, errors.OutcomeUnknown)
    with pytest.raises(dbapi.NotSupportedError):
        connection.rollback()
