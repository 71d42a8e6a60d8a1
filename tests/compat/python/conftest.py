"""The system and database of the cluster's tests."""

from tests.cluster.conftest import database, system

__all__ = ["database", "system"]
