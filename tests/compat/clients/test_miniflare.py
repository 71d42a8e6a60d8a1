"""miniflare's D1 binding, which frames its requests, over a gateway on loopback that asks for no token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.compat.clients.conftest import HERE, Gateways, free_port, node

from raylite.actors.gateways import Listen
from raylite.policies.bookmark import Bookmark
from raylite.router import serving
from raylite.router.background import background


@pytest.fixture
def url(gateways: Gateways) -> Iterator[str]:
    """Of a database, without a token."""
    listen = Listen("127.0.0.1", free_port(), "apac", insecure=True)
    (base,) = background.run(serving.serve(listen))
    yield f"{base}/d1/{gateways.database}"
    background.run(serving.stop(listen.port))


def test_miniflare(url: str) -> None:
    found = json.loads(node(HERE / "miniflare.mjs", url))
    assert Bookmark.parse(found.pop("bookmark")).sequence > 0
    assert found.pop("region") in ("APAC", "ENAM")
    assert found == {
        "results": [{"n": 7}],
        "error": "D1_ERROR: no such column: nope at offset 7: SQLITE_ERROR",
    }


def test_drizzles_migrator(url: str, tmp_path: Path) -> None:
    def migrated(*texts: str) -> object:
        _write(tmp_path, texts)
        return json.loads(node(HERE / "migrations.mjs", url, tmp_path))

    books = "CREATE TABLE mig_books (id INTEGER PRIMARY KEY);\n--> statement-breakpoint\n"
    one = {"failed": None, "applied": [1000], "tables": ["mig_books", "mig_loans"]}
    both = {"failed": None, "applied": [1000, 2000], "tables": ["mig_authors", "mig_books", "mig_loans"]}
    loans = books + "CREATE TABLE mig_loans (book INTEGER REFERENCES mig_books (id));"
    assert migrated(loans) == one
    assert migrated(loans) == one
    twice = "CREATE TABLE mig_authors (id INTEGER);\n--> statement-breakpoint\n" + books
    assert migrated(loans, twice) == one | {
        "failed": "table mig_books already exists at offset 14: SQLITE_ERROR"
    }
    assert migrated(loans, "CREATE TABLE mig_authors (id INTEGER);") == both


def _write(folder: Path, texts: tuple[str, ...]) -> None:
    """Migrations as `drizzle-kit generate` leaves them."""
    (folder / "meta").mkdir(exist_ok=True)
    entries = [
        {"idx": i, "version": "6", "when": 1000 * (i + 1), "tag": f"{i:04}_step", "breakpoints": True}
        for i in range(len(texts))
    ]
    journal = {"version": "7", "dialect": "sqlite", "entries": entries}
    (folder / "meta/_journal.json").write_text(json.dumps(journal))
    for entry, text in zip(entries, texts, strict=True):
        (folder / f"{entry['tag']}.sql").write_text(text)
