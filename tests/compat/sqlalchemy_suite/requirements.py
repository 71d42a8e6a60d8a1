"""What of SQLAlchemy's suite the dialect promises: SQLite's features, less what needs a connection's own state."""

from __future__ import annotations

from typing import Any

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

_THERE = """
    array_type_none autocommit check_constraint_reflection create_table_as ctes ctes_on_dml ctes_with_update_delete
    datetime_historic date_historic delete_from delete_returning except_ fetch_null_from_numeric foreign_keys
    inline_check_constraint_reflection insert_returning intersect json_type nullsordering
    on_update_cascade parens_in_union_contained_select_w_limit_offset reflect_table_options reflects_pk_names
    supports_bitwise_and supports_bitwise_not supports_bitwise_or supports_bitwise_shift
    skip_autocommit_rollback table_ddl_if_exists index_ddl_if_exists tuple_in unbounded_varchar unicode_ddl
    unique_constraint_reflection update_from update_returning uuid_data_type_none views window_functions
    foreign_key_constraint_option_reflection_ondelete foreign_key_constraint_option_reflection_onupdate
    fk_constraint_option_reflection_ondelete_restrict fk_constraint_option_reflection_onupdate_restrict
    fk_constraint_option_reflection_ondelete_noaction computed_columns computed_columns_stored computed_columns_virtual
    indexes_with_expressions emulated_lastrowid dbapi_lastrowid infinity_floats deferrable_fks isolation_level
    server_defaults expression_server_defaults
"""
"""Features of SQLite that the suite tests only where a dialect says that it has them."""

_NOT_THERE = {
    "savepoints": "there are no transactions",
    "two_phase_transactions": "there are no transactions",
    "temporary_tables": "a temporary table would belong to one copy's connection",
    "temporary_views": "a temporary view would belong to one copy's connection",
    "temp_table_reflection": "there are no temporary tables",
    "temp_table_names": "there are no temporary tables",
    "has_temp_table": "there are no temporary tables",
    "create_temp_table_as": "there are no temporary tables",
    "schemas": "there is one schema, main",
    "regexp_match": "the function REGEXP would have to run in the database's process",
    "regexp_replace": "the function REGEXP would have to run in the database's process",
    "create_or_replace_view": "SQLite has no OR REPLACE for views",
    "independent_connections": "a connection sees what another one wrote before that commits",
}
"""What the suite would test unless told otherwise, or what SQLite's own dialect has; and why it is not there."""


def _open(_: SuiteRequirements) -> Any:
    return exclusions.open()


def _closed(reason: str) -> Any:
    return property(lambda _: exclusions.skip_if(lambda: True, reason))


_FEATURES = {name: property(_open) for name in _THERE.split()} | {
    name: _closed(reason) for name, reason in _NOT_THERE.items()
}

Requirements = type("Requirements", (SuiteRequirements,), _FEATURES)
