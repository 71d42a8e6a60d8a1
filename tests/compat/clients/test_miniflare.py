"""miniflare's D1 binding, which frames its requests, over a gateway on loopback that asks for no token."""

from __future__ import annotations

import json

from tests.compat.clients.conftest import HERE, Gateways, free_port, node

from raylite.actors.gateways import Listen
from raylite.policies.bookmark import Bookmark
from raylite.router import serving
from raylite.router.background import background


def test_miniflare(gateways: Gateways) -> None:
    listen = Listen("127.0.0.1", free_port(), "apac", insecure=True)
    (url,) = background.run(serving.serve(listen))
    try:
        found = json.loads(node(HERE / "miniflare.mjs", f"{url}/d1/{gateways.database}"))
    finally:
        background.run(serving.stop(listen.port))
    assert Bookmark.parse(found.pop("bookmark")).sequence > 0
    assert found.pop("region") in ("APAC", "ENAM")
    assert found == {
        "results": [{"n": 7}],
        "error": "D1_ERROR: no such column: nope at offset 7: SQLITE_ERROR",
    }
