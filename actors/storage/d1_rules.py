"""What D1 lets SQL text do: its limits, its PRAGMAs, its functions, its names.

As the D1 service inside workerd has them (https://developers.cloudflare.com/d1/sql-api/sql-statements/ and
https://developers.cloudflare.com/d1/platform/limits/); tests/compat/d1_corpus compares. What is refused here is
refused besides what `authorizer` refuses of anyone.
"""

from __future__ import annotations

import re
from typing import Final

import apsw

from raylite.policies import limits

LIMITS: Final[dict[int, int]] = {
    apsw.SQLITE_LIMIT_SQL_LENGTH: limits.D1_SQL_BYTES,
    apsw.SQLITE_LIMIT_VARIABLE_NUMBER: 100,
    apsw.SQLITE_LIMIT_COLUMN: 100,
    apsw.SQLITE_LIMIT_EXPR_DEPTH: 100,
    apsw.SQLITE_LIMIT_COMPOUND_SELECT: 5,
    apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50,
    apsw.SQLITE_LIMIT_FUNCTION_ARG: 127,
    apsw.SQLITE_LIMIT_TRIGGER_DEPTH: 10,
}
"""By SQLITE_LIMIT_*; bytes of the text and of a pattern."""

_NONE: Final = re.compile(r"(?!)")
_ANY: Final = re.compile(r".*", re.DOTALL)
_BOOLEAN: Final = re.compile(r"0|1|on|off|yes|no|true|false", re.IGNORECASE)
_NUMBER: Final = re.compile(r"-?\d+")

_OPTIONAL: Final[dict[str, re.Pattern[str]]] = {
    "data_version": _NONE,
    "page_size": _NONE,
    "case_sensitive_like": _BOOLEAN,
    "defer_foreign_keys": _BOOLEAN,
    "foreign_keys": _BOOLEAN,
    "ignore_check_constraints": _BOOLEAN,
    "legacy_alter_table": _BOOLEAN,
    "recursive_triggers": _BOOLEAN,
    "reverse_unordered_selects": _BOOLEAN,
    "foreign_key_check": _ANY,
    "quick_check": _ANY,
    "table_list": _ANY,
    "optimize": _NUMBER,
}
"""PRAGMAs that need no argument, and which they may have."""
_NEEDED: Final = frozenset(
    {"foreign_key_list", "index_info", "index_list", "index_xinfo", "table_info", "table_xinfo"}
)
_MODULES: Final = frozenset({"fts5", "fts5vocab", "rtree", "rtree_i32"})
_FUNCTIONS: Final = frozenset(
    {
        "->", "->>", "abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "avg", "bm25", "ceil",
        "changes", "char", "coalesce", "concat", "concat_ws", "cos", "cosh", "count", "cume_dist",
        "current_date", "current_time", "current_timestamp", "date", "datetime", "degrees", "dense_rank", "exp",
        "first_value", "floor", "format", "glob", "group_concat", "hex", "highlight", "ifnull", "iif", "instr",
        "json", "json_array", "json_array_length", "json_extract", "json_group_array", "json_group_object",
        "json_insert", "json_object", "json_patch", "json_quote", "json_remove", "json_replace", "json_set",
        "json_type", "json_valid", "jsonb", "jsonb_array", "jsonb_extract", "jsonb_group_array",
        "jsonb_group_object", "jsonb_insert", "jsonb_object", "jsonb_patch", "jsonb_remove", "jsonb_replace",
        "jsonb_set", "julianday", "lag", "last_insert_rowid", "last_value", "lead", "length", "like",
        "likelihood", "likely", "ln", "log", "log2", "lower", "ltrim", "match", "max", "min", "mod",
        "nth_value", "ntile", "nullif", "octet_length", "percent_rank", "pi", "pow", "printf", "quote",
        "radians", "random", "randomblob", "rank", "replace", "round", "row_number", "rtreecheck", "rtrim",
        "sign", "sin", "sinh", "snippet", "sqrt", "strftime", "string_agg", "substr", "substring", "sum", "tan",
        "tanh", "time", "timediff", "total", "total_changes", "trim", "trunc", "typeof", "unhex", "unicode",
        "unixepoch", "unlikely", "upper", "zeroblob",
    }
)  # fmt: skip
_OWN_FUNCTIONS: Final = frozenset(
    {
        "sqlite_drop_column", "sqlite_rename_column", "sqlite_rename_quotefix", "sqlite_rename_table",
        "sqlite_rename_test",
    }
)  # fmt: skip
"""What SQLite itself calls for ALTER TABLE, and lets nobody else call."""
_RESERVED: Final = "_cf_"


def function_passes(name: str) -> bool:
    """Whether SQL may call it."""
    return name.lower() in _FUNCTIONS or name in _OWN_FUNCTIONS


def pragma_passes(name: str, argument: str | None) -> bool:
    """Whether the PRAGMA of this name, in lower case, may be used so."""
    if name in _NEEDED:
        return argument is not None
    shape = _OPTIONAL.get(name)
    return shape is not None and (argument is None or shape.fullmatch(argument) is not None)


def module_passes(name: str) -> bool:
    """Whether a virtual table may be of this module."""
    return name.lower() in _MODULES


def name_passes(name: str) -> bool:
    """Whether a table, index, view or trigger may have that name."""
    return not name.lower().startswith(_RESERVED)
