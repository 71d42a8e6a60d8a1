"""The Python tools inside Ray: tasks, actors, Serve deployments, Ray Data. All that they need is a name."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import raylite
from raylite import dbapi

ray: Any = importlib.import_module("ray")
EXAMPLES = Path(__file__).parents[3] / "examples"
pytestmark = pytest.mark.filterwarnings("ignore")  # those of Ray Data and Serve are theirs


def test_tasks_and_actors_need_the_name_alone_and_their_errors_come_out_whole(
    database: raylite.Database,
) -> None:
    def insert(name: str, n: int) -> str:
        with dbapi.connect(name) as connection:
            connection.execute("INSERT INTO t VALUES (1, ?)", [n])
            return connection.bookmark

    class Counter:
        def __init__(self, name: str) -> None:
            self._connection = dbapi.connect(name)

        def count(self) -> object:
            return self._connection.execute("SELECT count(*) FROM t").fetchall()

    small = ray.remote(num_cpus=0.1)
    task, actor = small(insert), small(Counter).remote(database.name)
    bookmarks: list[str] = ray.get([task.remote(database.name, n) for n in range(3)], timeout=60)
    seen = dbapi.connect(database, consistency=max(bookmarks))
    assert seen.execute("SELECT n FROM t ORDER BY n").fetchall() == [(0,), (1,), (2,)]
    assert ray.get(actor.count.remote(), timeout=60) == [(3,)]
    ray.kill(actor)
    database.exec("CREATE UNIQUE INDEX once ON t (n)")
    with pytest.raises(dbapi.IntegrityError) as caught:
        ray.get(task.remote(database.name, 1), timeout=60)
    assert not caught.value.may_have_applied


def test_a_serve_deployment_needs_the_name_alone(serve: Any, database: raylite.Database) -> None:
    class Orders:
        def __init__(self, name: str) -> None:
            self._connection = dbapi.connect(name)

        def add(self, n: int) -> object:
            self._connection.execute("INSERT INTO t VALUES (2, ?)", [n])
            return self._connection.execute("SELECT n FROM t WHERE client = 2").fetchall()

    deployment = serve.deployment(ray_actor_options={"num_cpus": 0.1})(Orders)
    handle = serve.run(deployment.bind(database.name), name="python", route_prefix=None)
    try:
        assert handle.add.remote(7).result(timeout_s=60) == [(7,)]
    finally:
        serve.delete("python")


def test_a_parallel_read_is_of_one_bookmark_while_others_write(database: raylite.Database) -> None:
    database.batch([database.prepare("INSERT INTO t VALUES (0, ?)").bind(n) for n in range(100)])
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            database.prepare("UPDATE t SET client = client + 1").run()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = raylite.read_sql("SELECT n, client FROM t", database.name, parallelism=4, num_cpus=0.1)
        rows = found.take_all()
    finally:
        over.set()
        writer.join()
    assert sorted(row["n"] for row in rows) == list(range(100))
    assert len({row["client"] for row in rows}) == 1


def test_rays_own_reader_takes_the_driver(database: raylite.Database) -> None:
    name = database.name
    insert_many = dbapi.connect(database).executemany
    insert_many("INSERT INTO t VALUES (?, ?)", [(n, n * n) for n in range(5)])
    found = importlib.import_module("ray.data").read_sql(
        "SELECT n FROM t", lambda: dbapi.connect(name, consistency="first-primary"), num_cpus=0.1
    )
    assert sorted(row["n"] for row in found.take_all()) == [0, 1, 4, 9, 16]


def test_the_ray_data_job_of_the_examples_runs(system: Path, database: raylite.Database) -> None:
    line = [sys.executable, str(EXAMPLES / "ray_data_job.py"), f"{database.name}-job"]
    address: str = ray.get_runtime_context().gcs_address
    around = {**os.environ, "RAYLITE_DATA": str(system), "RAY_ADDRESS": address}
    done = subprocess.run(line, capture_output=True, text=True, timeout=110, check=False, env=around)
    assert done.returncode == 0, done.stderr
    printed = [line for line in done.stdout.splitlines() if "(raylet)" not in line]  # Ray's own warnings
    assert printed == [
        "1000 orders in 4 blocks, 4 countries",
        "at 149500",
        "ch 149750",
        "de 150000",
        "fr 150250",
    ]
