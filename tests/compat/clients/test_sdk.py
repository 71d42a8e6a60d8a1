"""Cloudflare's own Python SDK, and the SQLAlchemy dialect for D1, by their base URL."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from tests.compat.clients.conftest import Gateways

ACCOUNT = "0" * 32


def test_cloudflares_sdk(gateways: Gateways) -> None:
    cloudflare: Any = importlib.import_module("cloudflare")
    client = cloudflare.Cloudflare(api_token=gateways.token, base_url=f"{gateways.url()}/client/v4")
    databases = client.d1.database
    made = databases.create(account_id=ACCOUNT, name="sdk", primary_location_hint="weur")
    try:
        assert "sdk" in [one.name for one in databases.list(account_id=ACCOUNT)]
        assert [one.uuid for one in databases.list(account_id=ACCOUNT, name="sdk")] == [made.uuid]
        assert databases.get(made.uuid, account_id=ACCOUNT).name == "sdk"
        query = {"database_id": made.uuid, "account_id": ACCOUNT}
        databases.query(**query, sql="CREATE TABLE t (a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'x')")
        (found,) = databases.query(**query, sql="SELECT * FROM t WHERE a = ?", params=["1"])
        assert found.results == [{"a": 1, "b": "x"}]
        (raw,) = databases.raw(**query, sql="SELECT b, a FROM t")
        assert (raw.results.columns, raw.results.rows) == (["b", "a"], [["x", 1]])
        batch = [
            {"sql": "INSERT INTO t VALUES (?, ?)", "params": [2, None]},
            {"sql": "SELECT count(*) AS n FROM t"},
        ]
        assert list(databases.query(**query, batch=batch))[1].results == [{"n": 2}]
        with pytest.raises(cloudflare.BadRequestError) as wrong:
            databases.query(**query, sql="SELECT nope")
        assert wrong.value.errors[0].code == 7500
        now = databases.time_travel.get_bookmark(**query).bookmark
        databases.query(**query, sql="DELETE FROM t")
        databases.time_travel.restore(**query, bookmark=now)
        (found,) = databases.query(**query, sql="SELECT count(*) AS n FROM t")
        assert found.results == [{"n": 2}]
        databases.edit(**query, read_replication={"mode": "disabled"})
        assert databases.get(made.uuid, account_id=ACCOUNT).read_replication.mode == "disabled"
    finally:
        databases.delete(made.uuid, account_id=ACCOUNT)
    with pytest.raises(cloudflare.NotFoundError) as gone:
        databases.get(made.uuid, account_id=ACCOUNT)
    assert gone.value.errors[0].code == 7404


def test_the_sqlalchemy_dialect_for_d1(gateways: Gateways) -> None:
    sqlalchemy: Any = importlib.import_module("sqlalchemy")
    base = f"{gateways.url()}/client/v4/accounts/{ACCOUNT}/d1/database/{gateways.database}"
    engine = sqlalchemy.create_engine(
        f"cloudflare_d1://{ACCOUNT}:{gateways.token}@{gateways.database}", connect_args={"base_url": base}
    )
    with engine.connect() as connection:
        run = connection.exec_driver_sql
        run("DROP TABLE IF EXISTS sa")
        run("CREATE TABLE sa (id INTEGER PRIMARY KEY, name TEXT)")
        assert run("INSERT INTO sa (name) VALUES (?)", ("ada",)).rowcount == 1
        assert run("SELECT id, name FROM sa").fetchall() == [(1, "ada")]
    assert "sa" in sqlalchemy.inspect(engine).get_table_names()
    engine.dispose()
