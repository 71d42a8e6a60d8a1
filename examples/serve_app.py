"""A Ray Serve deployment over a raylite database: counters that no replica of the deployment keeps.

    RAY_ADDRESS=auto python examples/serve_app.py [NAME]

Any replica may be killed or scaled away: what `add` returned is stored by a quorum.
"""

from __future__ import annotations

import sys

from fastapi import FastAPI
from ray import serve

import raylite

api = FastAPI()


@serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 0})
@serve.ingress(api)
class Counters:
    """Counters by name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._database: raylite.AsyncDatabase | None = None

    async def _opened(self) -> raylite.AsyncDatabase:
        if self._database is None:
            self._database = await raylite.connect_async(self._name, create=True)
            await self._database.exec(
                "CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, n INTEGER)"
            )
        return self._database

    @api.post("/{name}")
    async def add(self, name: str) -> int:
        """Adds one, and returns what the counter is then."""
        database = await self._opened()
        add = database.prepare(
            "INSERT INTO counters VALUES (?, 1) ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n"
        )
        found = await add.bind(name).all()
        return int(found.results[0]["n"])


if __name__ == "__main__":
    serve.run(Counters.bind(sys.argv[1] if len(sys.argv) > 1 else "counters"), blocking=True)
