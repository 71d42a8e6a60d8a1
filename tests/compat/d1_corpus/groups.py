"""All requests, in groups: each group runs in order on a database of its own.

`record.py` asks the D1 service inside workerd, and keeps its answers; tests/services/test_d1_corpus.py asks raylite.
OR ROLLBACK is missing: it ends that service.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.compat.d1_corpus import expressions, rules, statements
from tests.compat.d1_corpus.request import Request

GROUPS: Final[dict[str, Sequence[Request]]] = {
    "values": expressions.VALUES,
    "functions": expressions.FUNCTIONS,
    "json": expressions.JSON,
    "texts": expressions.TEXTS,
    "writes": statements.WRITES,
    "batches": statements.BATCHES,
    "schema": statements.SCHEMA,
    "kinds": statements.KINDS,
    "queries": statements.QUERIES,
    "pragmas": rules.PRAGMAS,
    "refused": rules.REFUSED,
    "deferred": rules.DEFERRED,
    "statistics": rules.STATISTICS,
    "limits": rules.LIMITS,
}
