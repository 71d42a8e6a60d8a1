"""A system for all tests of a module that use it as Python programs do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
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
