"""A system for all tests of a module that use it as Python programs do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.dialects import registry
from tests.services.python_system import PythonSystem, python_system

from raylite.router.sync import Database


@pytest.fixture(scope="module")
def served() -> Iterator[PythonSystem]:
    with python_system() as made:
        yield made


@pytest.fixture
def database(served: PythonSystem) -> Iterator[Database]:
    """Its database, in which nothing is left behind."""
    yield served.database()
    served.empty()


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """SQLAlchemy's, for that database; a connection that is not given back would be missed."""
    registry.register("raylite", "raylite.router.dialect", "RayliteDialect")
    made = create_engine("raylite:///shop", connect_args={"name": database}, pool_size=2, max_overflow=0)
    yield made
    made.dispose()
