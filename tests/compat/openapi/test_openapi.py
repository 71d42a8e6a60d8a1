"""Every operation of the OpenAPI document, with requests made from it: answers are what the document says."""

from __future__ import annotations

import hashlib
import importlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raylite.router.http.application import application
from raylite.router.http.ports import AnyoneMay

EXAMPLES = int(os.environ.get("RAYLITE_OPENAPI", "50"))
NEVER = {424, *range(500, 600)}
"""One client alone meets no overload, and nothing here loses an answer."""
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance",
)  # fmt: skip
SLOW = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)
TEXTS = (
    "SELECT 1", "SELECT NULL AS a, 1.5 AS b, x'00ff' AS c, 'x' AS d", "SELECT 1 WHERE 0", "SELECT 9e999, -1 << 62",
    "CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b)", "INSERT INTO t (b) VALUES (1) RETURNING *",
    "SELECT * FROM t; DELETE FROM t", "PRAGMA table_info(t)", "SELECT nope", "-- nothing",
)  # fmt: skip
FILE = b"CREATE TABLE IF NOT EXISTS u (a); INSERT INTO u VALUES (1), (2);"

schemathesis: Any = importlib.import_module("schemathesis")


def document() -> dict[str, Any]:
    nobody: Any = None
    return application(nobody, AnyoneMay(), nobody, Path("unused")).openapi()


NO_BODY: Any = importlib.import_module("schemathesis.core").NOT_SET
# The server's thread draws random numbers at any time, which Hypothesis takes for a strategy's.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"
)

SCHEMA: Any = schemathesis.openapi.from_dict(document())
OPERATIONS: dict[str, Any] = {
    one.ok().definition.raw["operationId"]: one.ok() for one in SCHEMA.get_all_operations()
}
ASKED = [
    (name, database)
    for name in OPERATIONS
    for database in ("shop", "any")
    if (name, database) != ("delete_database", "shop")
]
"""An operation, and of which database; the shop is needed to the end."""
CONFORM: list[Any] = schemathesis.checks.CHECKS.get_by_names(CHECKS)


# First: the exports that the others begin take all places.
@pytest.mark.timeout(60)
def test_whole_transfers_are_what_the_document_says(address: str) -> None:
    def ask(name: str, body: Any, kind: str = "application/json", **path: str) -> Any:
        parameters = path or {"account": "a", "database": "shop"}
        case = OPERATIONS[name].Case(path_parameters=parameters, body=body, media_type=kind)
        response = case.call(base_url=address)
        assert response.status_code == 200, response.text
        case.validate_response(response, checks=CONFORM)
        return response if name == "fetch_export" else response.content and response.json()["result"]

    etag = hashlib.md5(FILE, usedforsecurity=False).hexdigest()
    place = ask("import_database", {"action": "init", "etag": etag})
    ask("put_upload", FILE, "application/octet-stream", key=place["filename"])
    state = ask("import_database", {"action": "ingest", "etag": etag, "filename": place["filename"]})
    while state["status"] == "active":
        state = ask("import_database", {"action": "poll", "current_bookmark": state["at_bookmark"]})
    assert state["result"]["meta"]["rows_written"] == 2
    exporting: dict[str, Any] = {"output_format": "polling"}
    state = ask("export_database", exporting)
    while state["status"] == "active":
        state = ask("export_database", {**exporting, "current_bookmark": state["at_bookmark"]})
    assert b"CREATE TABLE" in ask("fetch_export", NO_BODY, key=state["at_bookmark"]).content
    assert ask("get_bookmark", NO_BODY)["bookmark"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "database"), ASKED)
def test_answers_are_what_the_document_says(address: str, name: str, database: str) -> None:
    operation = OPERATIONS[name]

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=SLOW)
    @given(st.data())
    def asked(data: st.DataObject) -> None:
        case: Any = data.draw(operation.as_strategy())
        if database == "shop" and "database" in case.path_parameters:
            case.path_parameters["database"] = "shop"
            if name in {"query", "raw"}:
                case.body = {"sql": data.draw(st.sampled_from(TEXTS))}
        response = case.call(base_url=address)
        assert response.status_code not in NEVER, response.text
        case.validate_response(response, checks=CONFORM)

    asked()


def test_every_operation_is_described_and_asks_for_a_token() -> None:
    found = document()
    schemes = found["components"]["securitySchemes"]
    assert [(one["type"], one["scheme"]) for one in schemes.values()] == [("http", "bearer")]
    for path, methods in found["paths"].items():
        for one in methods.values():
            assert one["description"], path
            assert {"200", "400", "401", "403", "404", "424", "429", "503"} <= set(one["responses"])
            signed = path.startswith(("/client/v4/d1-exports", "/client/v4/d1-uploads"))
            assert ("security" in one) is not signed, path
    assert len(OPERATIONS) == sum(map(len, found["paths"].values()))
