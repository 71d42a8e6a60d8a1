"""Runs SQLAlchemy's own suite against a whole system in one process; every engine connects to its database."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite import insert

registry.register("raylite", "raylite.router.dialect", "RayliteDialect")
pytest.register_assert_rewrite("sqlalchemy.testing.assertions")

from sqlalchemy.testing import config, provision  # noqa: E402 - the dialect is registered first, as SQLAlchemy says
from sqlalchemy.testing.plugin import pytestplugin  # noqa: E402 - likewise
from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: E402, F403 - it is the plugin's hooks, as SQLAlchemy says
from tests.services.python_system import python_system  # noqa: E402 - behind those

_running = ExitStack()
_database = _running.enter_context(python_system()).database()


@pytest.fixture(scope="session", autouse=True)
def only_main() -> None:
    """Some tests qualify names by the suite's second schema without asking whether there is one: it is `main`."""
    for one in config.Config.all_configs():
        one.test_schema = config.test_schema = "main"


def pytest_unconfigure(config: Any) -> None:
    """Not at the interpreter's exit: then no thread can be started, which stopping needs."""
    pytestplugin.pytest_unconfigure(config)
    _running.close()


@event.listens_for(Engine, "do_connect")
def connect_to_it(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
    """The system has no registry that would know the database by its name."""
    options["name"] = _database


@provision.generate_driver_url.for_db("raylite")
def same_url(url: Any, _driver: str, _query: str) -> Any:
    """There is one driver, which the dialect's name implies."""
    return url


@provision.upsert.for_db("raylite")
def upsert(
    _config: Any,
    table: Any,
    returning: Any,
    *,
    set_lambda: Any = None,
    sort_by_parameter_order: bool = False,
    index_elements: Any = None,
) -> Any:
    """SQLite's."""
    statement = insert(table)
    changed = (
        statement.on_conflict_do_update(set_=set_lambda(statement.excluded))
        if set_lambda
        else statement.on_conflict_do_nothing()
    )
    return changed.returning(*returning, sort_by_parameter_order=sort_by_parameter_order)


@provision.update_db_opts.for_db("raylite")
def rollbacks_do_nothing(_url: Any, db_opts: dict[str, Any], _options: Any) -> None:
    """The suite rolls back at the end of most tests, also of those whose writes it deletes itself."""
    db_opts["skip_autocommit_rollback"] = True
