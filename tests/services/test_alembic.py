"""Alembic's migrations over a whole system in one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import exc

ENVIRONMENT = """
from alembic import context
with context.config.attributes["engine"].connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
FIRST = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = "first", None

def upgrade():
    op.create_table("orders", sa.Column("id", sa.Integer, primary_key=True), sa.Column("qty", sa.Integer))
    op.create_index("by_qty", "orders", ["qty"])
    op.bulk_insert(sa.table("orders", sa.column("qty")), [{"qty": 1}, {"qty": 2}])

def downgrade():
    op.drop_table("orders")
"""
SECOND = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = "second", "first"

def upgrade():
    op.add_column("orders", sa.Column("note", sa.String))
    with op.batch_alter_table("orders") as batch:
        batch.alter_column("qty", nullable=False, new_column_name="quantity")

def downgrade():
    with op.batch_alter_table("orders") as batch:
        batch.drop_column("note")
        batch.alter_column("quantity", new_column_name="qty")
"""
BROKEN = """
from alembic import op
revision, down_revision = "broken", "second"

def upgrade():
    op.execute("CREATE TABLE half (a)")
    op.execute("CREATE TABLE half (a)")
"""


@pytest.fixture
def config(tmp_path: Path, engine: sa.Engine) -> Config:
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENVIRONMENT)
    for name, text in {"first": FIRST, "second": SECOND}.items():
        (tmp_path / "versions" / f"{name}.py").write_text(text)
    made = Config()
    made.set_main_option("script_location", str(tmp_path))
    made.set_main_option("path_separator", "os")
    made.attributes["engine"] = engine
    return made


def test_migrations_go_up_and_down(config: Config, engine: sa.Engine) -> None:
    command.upgrade(config, "head")
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT id, quantity, note FROM orders ORDER BY id").fetchall()
        assert rows == [(1, 1, None), (2, 2, None)]
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "second"
    assert [one["name"] for one in sa.inspect(engine).get_indexes("orders")] == ["by_qty"]
    command.downgrade(config, "first")
    assert [one["name"] for one in sa.inspect(engine).get_columns("orders")] == ["id", "qty"]
    command.downgrade(config, "base")
    assert sa.inspect(engine).get_table_names() == ["alembic_version"]


def test_a_migration_that_fails_in_the_middle_is_not_called_undone(
    config: Config, engine: sa.Engine, tmp_path: Path
) -> None:
    (tmp_path / "versions" / "broken.py").write_text(BROKEN)
    with pytest.raises(exc.NotSupportedError, match="stays") as caught:
        command.upgrade(config, "head")
    assert isinstance(caught.value.orig, BaseException)
    assert "already exists" in str(caught.value.orig.__context__)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "second"
    assert "half" in sa.inspect(engine).get_table_names()
