"""Values, functions, and texts that hold any number of statements."""

from __future__ import annotations

from typing import Final

from tests.compat.d1_corpus.request import Request, batch, body, execute, rows, run


def _marks(count: int) -> str:
    return "SELECT " + " + ".join("?" for _ in range(count))


_BUILD: Final = "functions and modules of a build that D1 has not are refused by name, or there"
_EARLIER: Final = "SQLite counts the values of each statement by itself, and D1 says which may have some"
_OBJECT: Final = "no client sends an object, or an array of anything but bytes"
_NUMBER: Final = "no client sends a number that no double can be"
_CALLS: Final = """
abs(-1) acos(1) acosh(1) asin(1) asinh(0) atan(0) atan2(0,1) atanh(0) ceil(1.5) ceiling(1.5) char(65,66)
coalesce(null,1) concat('a',2) concat_ws('-',1,2) cos(0) cosh(0) degrees(pi()) exp(0) floor(1.5) format('%d',1)
glob('a*','ab') hex('a') ifnull(null,1) iif(1,2,3) if(1,2,3) instr('abc','b') last_insert_rowid() length('abc')
like('a%','ab') likelihood(1,0.5) likely(1) ln(1) log(10) log10(10) log2(8) lower('A') ltrim('-a','-') max(1,2)
min(1,2) mod(7,4) nullif(1,1) octet_length('é') pow(2,3) power(2,3) printf('%s','a') quote('a') radians(180)
replace('ab','a','c') round(1.25,1) rtrim('a-','-') sign(-2) sin(0) sinh(0) sqrt(16) substr('abc',2)
substring('abc',2,1) subtype(1) tan(0) tanh(0) total_changes() trim('-a-','-') trunc(1.5) typeof(1) unhex('41')
unicode('A') unistr('a') unistr_quote('a') unlikely(1) upper('a') zeroblob(2) soundex('a')
date('2020-01-31','+31days') datetime(0,'unixepoch') julianday('2020-01-01') strftime('%Y',0,'unixepoch')
time(0,'unixepoch') timediff('2020-01-02','2020-01-01') unixepoch('2020-01-01') json('[1,2]') json_array(1,'a')
json_array_length('[1]') json_extract('{"a":1}','$.a') json_insert('{}','$.a',1) json_object('a',1)
json_patch('{}','{"a":1}') json_pretty('[1]') json_quote('a') json_remove('[1]','$[0]') json_replace('[1]','$[0]',2)
json_set('{}','$.a',1) json_type('[1]') json_valid('[') json_error_position('[') jsonb('[1]') jsonb_array(1)
jsonb_extract('[[1]]','$[0]') jsonb_object('a',1) '[1,2]'->1 '[1,2]'->>1 sqlite_version() sqlite_source_id()
sqlite_compileoption_used('x') sqlite_compileoption_get(1) sqlite_log(1,'a') fts5_source_id() rtreenode(1,2)
rtreedepth(1) nope(1) abs(1,2) abs() changes()
"""

FUNCTIONS: Final = [
    *(rows(f"SELECT {call} AS r") for call in _CALLS.split()),
    rows("SELECT median(1)").but(_BUILD),
    rows("SELECT load_extension('a')").but(_BUILD),
]

VALUES: Final = [
    rows("SELECT ?, typeof(?), 7 / ?", 2, 2, 2),
    rows("SELECT typeof(?1), ?1", 1.5),
    rows("SELECT typeof(?1), ?1", None),
    rows("SELECT typeof(?1), ?1, length(?1)", "a\0b"),
    rows("SELECT typeof(?1), ?1, length(?1)", "é🙂"),
    rows("SELECT typeof(?1), ?1", True),
    rows("SELECT typeof(?1), ?1", False),
    rows("SELECT typeof(?1), ?1", []),
    rows("SELECT typeof(?1), ?1, hex(?1)", [0, 1, 255]),
    rows("SELECT ?, ?, ?", 1e308, -0.0, 5e-324),
    rows("SELECT ?", 9007199254740993),
    rows("SELECT ?", -9223372036854775808),
    rows("SELECT 9007199254740991, -9007199254740991"),
    rows("SELECT 9007199254740993, 9223372036854775807"),
    rows("SELECT 1e999, -1e999, 0.1, 1.0, 1e21, 123456789.125"),
    rows('SELECT 1 AS a, 2 AS a, 3 AS "b c", 4'),
    run('SELECT 1 AS a, 2 AS a, 3 AS "b c", 4'),
    rows("SELECT x'', x'00ff', '', 'a' || char(0) || 'b'"),
    rows("SELECT CAST(x'ff' AS TEXT) IS NULL"),
    rows('SELECT "no column"'),
    rows("SELECT 'a' AS a WHERE 0"),
    rows("VALUES (1, 'a'), (2, NULL)"),
    rows("SELECT 1 / 0, 5 % 0, 7 / 2, -7 / 2, 7 / 2.0"),
    rows("SELECT 9223372036854775807 + 1"),
    rows("SELECT abs(-9223372036854775808)"),
    rows("SELECT '10' + 5, '1e2' + 0, 'a' + 1, NULL + 1"),
    rows("SELECT 'a' = 'A' COLLATE NOCASE, 'a' < 'B', x'61' = 'a'"),
    rows("SELECT 0x7fffffffffffffff, 1_000"),
    rows("SELECT TRUE, FALSE, 2 IS TRUE"),
    rows("SELECT ?1, ?2, ?1", "a", "b"),
    rows("SELECT ?2, ?1", "a", "b"),
    rows("SELECT ?3", "a", "b", "c"),
    rows("SELECT ?"),
    rows("SELECT ?", 1, 2),
    rows("SELECT 1", 1),
    rows("SELECT :a, @b, $c", 1, 2, 3),
    rows("SELECT ?0", 1),
    rows("SELECT ?101", 1),
    rows(_marks(100), *range(100)),
    rows(_marks(101), *range(101)),
    rows("SELECT 1", *range(101)),
]

JSON: Final = [
    rows("SELECT ?, typeof(?1)", {}).but(_OBJECT),
    rows("SELECT ?, typeof(?1)", {"a": 1}).but(_OBJECT),
    rows("SELECT ?, typeof(?1)", [256]).but(_OBJECT),
    rows("SELECT ?, typeof(?1)", ["a"]).but(_OBJECT),
    rows("SELECT ?, typeof(?1)", [[1]]).but(_OBJECT),
    body(b'{"sql": "SELECT ?", "params": [1.0]}'),
    body(b'{"sql": "SELECT ?", "params": [1e400]}').but(_NUMBER),
    body(b'{"sql": "SELECT 1 AS a"}'),
    body(b'{"sql": "SELECT 1 AS a", "params": null}'),
    body(b'[{"sql": "SELECT 1 AS a"}]'),
    body(b'{"sql": "SELECT 1 AS a", "more": 1}'),
    Request("/query", {"sql": "SELECT 1 AS a, 2 AS b"}),
    Request("/query?resultsFormat=ARRAY_OF_OBJECTS", {"sql": "SELECT 1 AS a, 2 AS b"}),
    Request("/query?resultsFormat=NONE", {"sql": "SELECT 1 AS a, 2 AS b"}),
    Request("/query?resultsFormat=other", {"sql": "SELECT 1 AS a, 2 AS b"}),
    Request("/execute?resultsFormat=ROWS_AND_COLUMNS", {"sql": "SELECT 1 AS a, 2 AS b"}),
    Request("/execute", {"sql": "SELECT 1 AS a, 2 AS b"}),
]

TEXTS: Final = [
    rows(""),
    rows("  \n "),
    rows(";"),
    rows("-- only a comment"),
    rows("/* a */ -- b"),
    rows("SELECT 1;"),
    rows("SELECT 1; -- more"),
    rows("-- first\nSELECT 1"),
    rows("SELECT 1; SELECT 2 AS b"),
    rows("SELECT 1;; SELECT ?;", 2),
    rows("SELECT ?; SELECT 2", 1).but(_EARLIER),
    rows("SELECT ';' AS a; SELECT ';;' AS b"),
    rows("CREATE TABLE t (v); INSERT INTO t VALUES (1), (2); INSERT INTO t VALUES (3)"),
    rows("SELECT count(*) FROM t"),
    rows("INSERT INTO t VALUES (4); INSERT INTO nope VALUES (5)"),
    rows("SELECT count(*) FROM t"),
    rows("INSERT INTO t VALUES (4); SELECT v FROM t ORDER BY v"),
    batch("SELECT 1 AS a", "-- nothing", "SELECT 2 AS b"),
    batch("-- nothing", " "),
    batch(),
    batch("SELECT 1 AS a; SELECT 2 AS b", ("SELECT ? AS c", 3)),
    execute("SELECT 1;\nSELECT 2;\n-- nothing\nSELECT 3"),
    execute(
        "CREATE TABLE e (a);\nINSERT INTO e VALUES (1);\nINSERT INTO e VALUES (2); INSERT INTO e VALUES (3);"
    ),
    rows("SELECT * FROM e"),
    execute("INSERT INTO e VALUES (4);\nINSERT INTO nope VALUES (1);"),
    rows("SELECT count(*) FROM e"),
    rows(
        "CREATE TRIGGER g AFTER INSERT ON e BEGIN INSERT INTO t VALUES (new.a); SELECT ';'; END; SELECT 1 AS a"
    ),
    rows("CREATE TRIGGER g AFTER INSERT ON e BEGIN INSERT INTO t VALUES (new.a); SELECT 1; END"),
    rows("INSERT INTO e VALUES (9)"),
    rows("SELECT 'a' -- b"),
    rows("SELECT 'unclosed"),
    rows('SELECT "a'),
    rows("SELECT 1 /* unclosed"),
    rows("SELEC 1"),
    rows("SELECT (1"),
    rows("SELECT 1 FROM"),
    rows("SELECT é FROM t"),
    rows("SELECT 'é', nope"),
    rows("SELECT 1;\nSELECT nope"),
    rows("\n  SELECT nope"),
    rows("-- a\nSELECT nope"),
    rows("SELECT 1; -- a\n SELECT nope"),
    rows("SELECT 1; /* a */ SELECT 2 AS b, nope"),
    rows("SELECT 1 AS a\r\n;\r\nSELECT 2 AS b"),
    rows("EXPLAIN QUERY PLAN SELECT * FROM t"),
]
