"""PRAGMAs, what is refused, and limits, at them and just over."""

from __future__ import annotations

from typing import Final

from tests.compat.d1_corpus.request import Request, batch, rows, run


def _table(name: str, columns: int) -> str:
    return f"CREATE TABLE {name} ({', '.join(f'c{n}' for n in range(columns))})"


def _each(template: str, names: str) -> list[Request]:
    return [rows(template.format(name)) for name in names.split()]


_STAT4: Final = "raylite's SQLite keeps sqlite_stat4, too"
_RENAME: Final = "SQLite tells nobody the new name before it is done"
_RESET: Final = "D1 starts the object anew, which forgets last_row_id, and says so; raylite rolls back"
_LONG: Final = "x" * 100_000

PRAGMAS: Final = [
    run("CREATE TABLE t (id INTEGER PRIMARY KEY, p REFERENCES t)"),
    run("CREATE INDEX ti ON t (p)"),
    *_each(
        "PRAGMA {}",
        """
        page_size page_size=512 foreign_keys foreign_keys=on defer_foreign_keys case_sensitive_like=off
        recursive_triggers ignore_check_constraints legacy_alter_table reverse_unordered_selects foreign_keys=maybe
        foreign_keys=2 foreign_key_check foreign_key_check(t) foreign_key_list(t) foreign_key_list index_info(ti)
        index_info index_list(t) index_list index_xinfo(ti) table_info(t) table_info table_info(nope) table_xinfo(t)
        table_list table_list(t) quick_check quick_check(t) quick_check(1) optimize optimize(1) optimize(t)
        main.table_info(t) nope nope=1 analysis_limit application_id auto_vacuum automatic_index busy_timeout
        cache_size collation_list compile_options count_changes data_version=1 database_list encoding freelist_count
        function_list hard_heap_limit incremental_vacuum integrity_check journal_mode journal_mode=delete
        journal_size_limit locking_mode max_page_count mmap_size module_list page_count pragma_list query_only=on
        schema_version secure_delete shrink_memory synchronous synchronous=off temp_store threads trusted_schema
        user_version user_version=3 wal_autocheckpoint wal_checkpoint writable_schema=on
        """,
    ),
    *_each(
        "SELECT * FROM pragma_{}",
        """
        table_info('t') table_list('t') index_list('t') foreign_key_list('t') page_count user_version function_list
        database_list
        """,
    ),
]  # fmt: skip

REFUSED: Final = [
    *_each(
        "{}",
        "BEGIN COMMIT ROLLBACK END VACUUM",
    ),
    rows("BEGIN IMMEDIATE"),
    rows("BEGIN; SELECT 1; COMMIT"),
    rows("SAVEPOINT a"),
    rows("RELEASE a"),
    rows("ROLLBACK TO a"),
    rows("VACUUM INTO '/tmp/a'"),
    rows("ATTACH '/tmp/a' AS a"),
    rows("ATTACH ':memory:' AS a"),
    rows("DETACH main"),
    rows("CREATE TEMP TABLE a (b)"),
    rows("CREATE TEMPORARY VIEW a AS SELECT 1"),
    rows("CREATE TABLE temp.a (b)"),
    rows("CREATE TABLE main.a (b)"),
    rows("CREATE TABLE other.a (b)"),
    rows("SELECT * FROM sqlite_temp_schema"),
    rows("CREATE TABLE _cf_x (a)"),
    rows("CREATE TABLE _CF_x (a)"),
    rows("CREATE TABLE _cfx (a)"),
    rows("SELECT * FROM _cf_KV"),
    rows("SELECT * FROM _cf_METADATA"),
    rows("CREATE INDEX _cf_i ON a (b)"),
    rows("CREATE VIEW _cf_v AS SELECT 1"),
    rows("CREATE TRIGGER _cf_t AFTER INSERT ON a BEGIN SELECT 1; END"),
    rows("ALTER TABLE a ADD COLUMN _cf_b"),
    rows("SELECT 1 AS _cf_c"),
    rows("EXPLAIN SELECT 1 WHERE sqlite_version() = ''"),
    rows("CREATE TABLE d (a DEFAULT (sqlite_version()))"),
    rows("CREATE VIEW vf AS SELECT sqlite_version()"),
    rows("SELECT * FROM vf"),
    rows("ALTER TABLE a RENAME TO _cf_a").but(_RENAME),
]  # fmt: skip

DEFERRED: Final = [
    run("CREATE TABLE p (id INTEGER PRIMARY KEY, p REFERENCES p)"),
    batch("PRAGMA defer_foreign_keys = on", "INSERT INTO p VALUES (5, 98)").but(_RESET),
    rows("SELECT count(*) FROM p").but(_RESET),
]

STATISTICS: Final = [
    run("CREATE TABLE t (a, b)"),
    run("CREATE INDEX ta ON t (a)"),
    run("INSERT INTO t VALUES (1, 2), (1, 3), (2, 4)"),
    run("ANALYZE").but(_STAT4),
    rows("SELECT tbl, idx, stat FROM sqlite_stat1").but(_STAT4),
]

LIMITS: Final = [
    rows(f"SELECT '{'x' * 99_000}' IS NULL"),
    rows(f"SELECT '{_LONG}'"),
    rows(f"SELECT 1 -- {_LONG}"),
    rows(_table("c100", 100)),
    rows(_table("c101", 101)),
    run("ALTER TABLE c100 ADD COLUMN more"),
    rows("SELECT " + ", ".join("1" for _ in range(100))),
    rows("SELECT " + ", ".join("1" for _ in range(101))),
    rows("SELECT * FROM c100, c100 AS b"),
    rows("INSERT INTO c100 VALUES (" + ", ".join("1" for _ in range(101)) + ")"),
    rows(" UNION ALL ".join("SELECT 1" for _ in range(5))),
    rows(" UNION ALL ".join("SELECT 1" for _ in range(6))),
    rows("VALUES " + ", ".join(f"({n})" for n in range(300))),
    rows("SELECT " + " + ".join("1" for _ in range(99))),
    rows("SELECT " + " + ".join("1" for _ in range(102))),
    rows("SELECT " + "(" * 90 + "1" + ")" * 90),
    rows("SELECT " + "abs(" * 99 + "1" + ")" * 99),
    rows("SELECT " + "abs(" * 101 + "1" + ")" * 101),
    rows(f"SELECT 'a' LIKE '{'a' * 50}'"),
    rows(f"SELECT 'a' LIKE '{'a' * 51}'"),
    rows(f"SELECT 'a' GLOB '{'a' * 51}'"),
    rows("SELECT 'a' LIKE ?", "a" * 51),
    rows("SELECT max(" + ", ".join("1" for _ in range(100)) + ")"),
    rows("SELECT max(" + ", ".join("1" for _ in range(127)) + ")"),
    rows("SELECT max(" + ", ".join("1" for _ in range(128)) + ")"),
    rows("SELECT char(" + ", ".join("65" for _ in range(33)) + ")"),
    rows("SELECT length(?)", "x" * 1_000_000),
    rows("SELECT length(zeroblob(1900000))"),
    rows("SELECT length(zeroblob(5000000))"),
    rows("SELECT length(hex(zeroblob(2500000)))"),
    run("CREATE TABLE deep (n)"),
    run(
        "CREATE TRIGGER d AFTER INSERT ON deep WHEN new.n > 0 BEGIN INSERT INTO deep VALUES (new.n - 1); END"
    ),
    batch("PRAGMA recursive_triggers = on", "INSERT INTO deep VALUES (3)"),
    batch("PRAGMA recursive_triggers = on", "INSERT INTO deep VALUES (20)"),
    rows("SELECT count(*) FROM deep"),
    rows("SELECT 1 FROM " + ", ".join(f"deep AS d{n}" for n in range(64)) + " LIMIT 1"),
    rows("SELECT 1 FROM " + ", ".join(f"deep AS d{n}" for n in range(65)) + " LIMIT 1"),
    rows("INSERT INTO deep VALUES " + ", ".join("(0)" for _ in range(1000))),
    rows("SELECT " + " || ".join("'a'" for _ in range(60))),
    rows("SELECT 1 IN (" + ", ".join(str(n) for n in range(2000)) + ")"),
    rows("SELECT 1 IN (" + ",".join("1" for _ in range(9000)) + ")"),
    rows("SELECT current_date = date(), current_time IS NULL, length(current_timestamp)"),
    rows("SELECT CASE " + " ".join(f"WHEN {n} = 1 THEN {n}" for n in range(500)) + " END"),
]
