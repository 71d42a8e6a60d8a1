"""`wrangler d1`, unmodified, against a gateway."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from tests.compat.clients.conftest import MODULES, NODE, Gateways

from raylite.policies.bookmark import Bookmark

ACCOUNT = "0" * 32
T = TypeVar("T")


class Ran(msgspec.Struct):
    """One statement."""

    success: bool
    results: list[dict[str, object]]


class Named(msgspec.Struct):
    """One database."""

    uuid: str
    name: str


class State(msgspec.Struct):
    """Where time travel is."""

    bookmark: str
    previous_bookmark: str = ""


class Wrangler:
    """Runs commands in a folder of its own."""

    def __init__(self, gateways: Gateways, folder: Path) -> None:
        self.folder = folder
        self._environment = os.environ | {
            "CLOUDFLARE_API_BASE_URL": f"{gateways.url()}/client/v4",
            "CLOUDFLARE_API_TOKEN": gateways.token,
            "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
            "WRANGLER_SEND_METRICS": "false",
            "WRANGLER_HIDE_BANNER": "true",
            "CI": "true",
            "HOME": str(folder),
        }

    def run(self, *arguments: str, fails: bool = False) -> str:
        """What `wrangler d1` prints on standard output; its errors, too, if it is to fail."""
        line: list[str | Path] = [NODE, MODULES / "wrangler/bin/wrangler.js", "d1", *arguments]
        done = subprocess.run(
            line,
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + (done.stderr if fails else "")

    def told(self, kind: type[T], *arguments: str) -> T:
        """The JSON that it prints."""
        return msgspec.json.decode(self.run(*arguments, "--json"), type=kind)

    def query(self, name: str, sql: str) -> list[dict[str, object]]:
        """The rows of one statement."""
        (found,) = self.told(list[Ran], "execute", name, "--remote", "--command", sql)
        assert found.success
        return found.results


@pytest.fixture
def wrangler(gateways: Gateways, tmp_path: Path) -> Wrangler:
    return Wrangler(gateways, tmp_path)


def test_databases_are_made_listed_shown_and_deleted(wrangler: Wrangler) -> None:
    made = wrangler.run("create", "library", "--location", "weur")
    (uuid,) = set(re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", made))
    assert "already exists" in wrangler.run("create", "library", fails=True)
    assert Named(uuid, "library") in wrangler.told(list[Named], "list")
    assert wrangler.told(Named, "info", "library") == Named(uuid, "library")
    wrangler.run("delete", "library", "-y")
    assert Named(uuid, "library") not in wrangler.told(list[Named], "list")
    assert "library" in wrangler.run("info", "library", fails=True)


def test_sql_is_executed_exported_and_taken_back(wrangler: Wrangler) -> None:
    wrangler.run("create", "notes")
    script = wrangler.folder / "notes.sql"
    script.write_text(
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);\n"
        "CREATE TRIGGER marks AFTER INSERT ON notes BEGIN UPDATE notes SET text = text || ';' WHERE id = new.id; END;\n"
        + "".join(f"INSERT INTO notes (text) VALUES ('note; {n}');\n" for n in range(500))
    )
    wrangler.run("execute", "notes", "--remote", "-y", "--file", str(script))
    assert wrangler.query("notes", "SELECT count(*) AS n, max(text) AS t FROM notes") == [
        {"n": 500, "t": "note; 9;"}
    ]
    failed = wrangler.run("execute", "notes", "--remote", "--command", "SELECT nope FROM notes", fails=True)
    assert "no such column: nope" in failed
    copy = wrangler.folder / "copy.sql"
    wrangler.run("export", "notes", "--remote", "--output", str(copy))
    assert copy.read_text().count("INSERT INTO") == 500
    before = wrangler.told(State, "time-travel", "info", "notes")
    assert Bookmark.parse(before.bookmark).sequence > 0
    wrangler.query("notes", "DELETE FROM notes WHERE id > 1")
    restored = wrangler.told(State, "time-travel", "restore", "notes", "--bookmark", before.bookmark)
    assert wrangler.query("notes", "SELECT count(*) AS n FROM notes") == [{"n": 500}]
    wrangler.run("time-travel", "restore", "notes", "--bookmark", restored.previous_bookmark, "--json")
    assert wrangler.query("notes", "SELECT count(*) AS n FROM notes") == [{"n": 1}]
    insights = wrangler.told(
        object, "insights", "notes", "--limit", "10", "--sort-type", "sum", "--sort-by", "count"
    )
    assert "SELECT count(*) AS n FROM notes" in str(insights)


def test_migrations(wrangler: Wrangler) -> None:
    made = wrangler.run("create", "migrated")
    (uuid,) = set(re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", made))
    binding = {"binding": "DB", "database_name": "migrated", "database_id": uuid}
    (wrangler.folder / "wrangler.json").write_text(json.dumps({"name": "app", "d1_databases": [binding]}))
    wrangler.run("migrations", "create", "migrated", "books")
    (path,) = (wrangler.folder / "migrations").glob("0001_*.sql")
    path.write_text("CREATE TABLE books (title TEXT);\nINSERT INTO books VALUES ('Emma; or Ulysses');\n")
    assert path.name in wrangler.run("migrations", "list", "migrated", "--remote")
    wrangler.run("migrations", "apply", "migrated", "--remote")
    assert wrangler.query("migrated", "SELECT title FROM books") == [{"title": "Emma; or Ulysses"}]
    (wrangler.folder / "migrations/0002_bad.sql").write_text("CREATE TABLE more (n);\nSELECT nope;\n")
    assert "no such column: nope" in wrangler.run("migrations", "apply", "migrated", "--remote", fails=True)
    assert wrangler.query("migrated", "SELECT name FROM sqlite_schema WHERE name = 'more'") == []
