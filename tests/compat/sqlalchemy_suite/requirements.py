"""What of SQLAlchemy's suite the dialect promises: SQLite's features, less what needs a connection's own state."""

from __future__ import annotations

from typing import Any

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

_THERE = """
    boolean_col_expressions check_constraint_reflection create_table_as ctes ctes_on_dml
    ctes_with_update_delete ctes_with_values datetime_historic date_historic datetime_literals
    delete_returning except_ fetch_expression fetch_null_from_numeric fetch_offset_with_options
    float_or_double_precision_behaves_generically foreign_keys foreign_key_constraint_name_reflection
    indexes_check_column_order inline_check_constraint_reflection insert_returning intersect json_type
    legacy_unconditional_json_extract mod_operator_as_percent_sign nullsordering nvarchar_types on_update_cascade
    order_by_collation order_by_label_with_expression percent_schema_names
    precision_numerics_enotation_small precision_numerics_retains_significant_digits
    reflect_table_options reflects_pk_names repeated_column_foreign_keys repeated_remote_col_foreign_keys
    supports_bitwise_and supports_bitwise_not supports_bitwise_or supports_bitwise_shift supports_bitwise_xor
    skip_autocommit_rollback table_ddl_if_exists index_ddl_if_exists tuple_in unbounded_varchar
    unique_constraint_reflection update_from update_returning views
    window_functions window_range window_range_numeric
    foreign_key_constraint_option_reflection_ondelete foreign_key_constraint_option_reflection_onupdate
    fk_constraint_option_reflection_ondelete_restrict fk_constraint_option_reflection_onupdate_restrict
    fk_constraint_option_reflection_ondelete_noaction computed_columns computed_columns_stored computed_columns_virtual
    computed_columns_reflect_persisted indexes_with_expressions emulated_lastrowid dbapi_lastrowid infinity_floats
    deferrable_fks isolation_level schema_reflection server_defaults expression_server_defaults
"""
"""Features of SQLite that the suite tests only where a dialect says that it has them."""

_NOT_HERE = {
    "there are no transactions": "savepoints two_phase_transactions",
    "autocommit cannot be switched off": "autocommit",
    "of isolation levels there is AUTOCOMMIT alone, and the test wants two": "independent_readonly_connections",
    "a connection sees what another one wrote before that commits": "independent_connections",
    "there is one schema, main": "schemas cross_schema_fk_reflection",
    "a temporary table or view would belong to one copy's connection": """
        temporary_tables temporary_views temp_table_reflection temp_table_names temp_table_reflect_indexes
        has_temp_table create_temp_table_as temp_table_comment_reflection
    """,
    "the function REGEXP would have to run in the database's process": "regexp_match regexp_replace",
    "foreign keys are always enforced, and the tests refer to a column that is not unique": "unicode_ddl",
}
"""What SQLite has, or its own dialect, and this one has not: why, and the suite's names for it."""

_NOT_IN_SQLITE = {
    "SQLite has no DELETE with several tables": "delete_from",
    "SQLite has no parentheses around the parts of a UNION": """
        parens_in_union_contained_select_w_limit_offset parens_in_union_contained_select_wo_limit_offset
    """,
    "SQLite gives constraints no names": "implicitly_named_constraints",
    "SQLite has no OR REPLACE for views": "create_or_replace_view",
    "SQLite has no materialized views": "materialized_views materialized_views_reflect_pk",
    "SQLite has no CREATE SCHEMA": "schema_create_delete",
    "SQLite has no sequences": "sequences sequences_optional",
    "SQLite has no identity columns": "identity_columns identity_columns_standard",
    "SQLite has no FETCH FIRST": "fetch_first fetch_percent fetch_ties fetch_no_order_by",
    "SQLite has no comments that it keeps": """
        comment_reflection comment_reflection_full_unicode constraint_comment_reflection
    """,
    "SQLite has no types for dates, times and UUIDs": """
        datetime_timezone datetime_timezone_historic time_timezone datetime_interval timestamp_microseconds
        uuid_data_type
    """,
    "SQLite has no arrays": "array_type",
    "SQLite has no VALUES with names of columns": "table_value_constructor",
    "SQLite has no RANGE over what is no number": "window_range_non_numeric",
    "SQLite has no DISTINCT ON": "supports_distinct_on",
    "SQLite stores a Numeric as a float": """
        precision_numerics_many_significant_digits cast_precision_numerics_many_significant_digits
    """,
    "SQLite's dialect does not reflect it": """
        reflect_indexes_with_expressions reflect_indexes_with_ascdesc_as_expression index_reflects_included_columns
        column_collation_reflection reflect_tables_no_columns unique_constraints_reflect_as_index
        unique_index_reflect_as_unique_constraints foreign_keys_reflect_as_index
    """,
    "the driver has whole results, no cursors at a server": "server_side_cursors",
    "the driver is synchronous": "async_dialect",
}
"""What SQLite's own dialect has not either: why, and the suite's names for it."""


def _open(_: SuiteRequirements) -> Any:
    return exclusions.open()


def _closed(reason: str) -> property:
    return property(lambda _: exclusions.skip_if(lambda: True, reason))


def _order_by_collation(_: SuiteRequirements, _config: Any) -> str:
    return "NOCASE"


_FEATURES: dict[str, Any] = {name: property(_open) for name in _THERE.split()}
for _reason, _names in (_NOT_HERE | _NOT_IN_SQLITE).items():
    _FEATURES |= {_name: _closed(_reason) for _name in _names.split()}

_unknown = sorted(name for name in _FEATURES if not hasattr(SuiteRequirements, name))
if _unknown:
    raise AttributeError(f"SQLAlchemy's suite knows no requirements of these names: {_unknown}")

Requirements = type(
    "Requirements", (SuiteRequirements,), _FEATURES | {"get_order_by_collation": _order_by_collation}
)
