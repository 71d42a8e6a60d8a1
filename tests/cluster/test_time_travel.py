"""What commands and drivers do with a database besides queries: its past, its forks, its migrations. On a real node."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import raylite
from raylite.policies.errors import BookmarkError, DatabaseExists, NotAllowed, ParameterError

REGIONS = ("enam", "weur", "apac")


def rows(session: raylite.Session | raylite.Past) -> list[int]:
    return [int(str(row[0])) for row in session.prepare("SELECT n FROM t ORDER BY n").raw()]


class Printed(msgspec.Struct):
    """What these commands print as JSON."""

    bookmark: str = ""
    undo: str = ""
    name: str = ""
    pending: tuple[str, ...] = ()
    applied: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def command(directory: Path, *arguments: str) -> Printed:
    line = [sys.executable, "-m", "raylite.router.cli", *arguments, "--json", "--data", str(directory)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout, type=Printed)


def test_the_past_is_read_and_restored_and_sessions_go_on(system: Path, database: raylite.Database) -> None:
    session = database.with_session()
    bookmarks: list[str] = []
    for n in range(10):
        session.prepare("INSERT INTO t VALUES (1, ?)").bind(n).run()
        bookmarks.append(session.bookmark)
    assert [rows(database.at(one)) for one in bookmarks[::3]] == [list(range(n + 1)) for n in range(0, 10, 3)]
    with pytest.raises(NotAllowed, match="past"):
        database.at(bookmarks[0]).prepare("DELETE FROM t").run()
    with pytest.raises(BookmarkError):
        database.at(bookmarks[0][:-4] + "0000").prepare("SELECT 1").run()
    with pytest.raises(ParameterError, match="oldest"):
        database.at("2001-01-01")

    restored = database.restore(bookmarks[4])
    assert restored.bookmark > restored.undo >= bookmarks[9]
    for region in REGIONS:
        there = raylite.connect(database.name, region=region).with_session(restored.bookmark)
        assert rows(there) == [0, 1, 2, 3, 4]
    session.prepare("INSERT INTO t VALUES (1, 100)").run()
    assert rows(session) == [0, 1, 2, 3, 4, 100]

    info = command(system, "time-travel", "info", database.name)
    assert info.bookmark == session.bookmark
    undone = command(system, "time-travel", "restore", database.name, "--bookmark", restored.undo)
    assert undone.undo == session.bookmark
    assert rows(database.with_session(undone.bookmark)) == list(range(10))


def test_a_fork_begins_as_its_parent_was_and_cold_storage_gives_back_both(
    system: Path, database: raylite.Database
) -> None:
    session = database.with_session()
    for n in range(5):
        session.prepare("INSERT INTO t VALUES (1, ?)").bind(n).run()
    bookmark, name = session.bookmark, f"{database.name}-copy"
    session.prepare("INSERT INTO t VALUES (1, 5)").run()
    assert command(system, "fork", database.name, name, "--bookmark", bookmark).name == name
    with pytest.raises(DatabaseExists):
        database.fork(name)
    for region in REGIONS:
        assert rows(raylite.connect(name, region=region).with_session()) == [0, 1, 2, 3, 4]
    copy = raylite.connect(name)
    copy.prepare("INSERT INTO t VALUES (1, 100)").run()
    assert rows(copy.with_session("first-primary")) == [0, 1, 2, 3, 4, 100]
    assert rows(database.with_session("first-primary")) == [0, 1, 2, 3, 4, 5]
    for one in (database.name, name):
        assert command(system, "verify", one).problems == ()


def test_migrations_are_made_listed_and_applied_by_command(
    system: Path, database: raylite.Database, tmp_path: Path
) -> None:
    folder = ("--folder", str(tmp_path / "migrations"))
    line = [sys.executable, "-m", "raylite.router.cli", "migrations", "create", database.name, "more notes"]
    subprocess.run([*line, *folder], check=True, capture_output=True, timeout=100)
    (path,) = (tmp_path / "migrations").iterdir()
    with path.open("a") as file:
        file.write("CREATE TABLE notes (text TEXT);\nINSERT INTO notes VALUES ('one; two')")
    assert command(system, "migrations", "list", database.name, *folder).pending == ("0001_more_notes.sql",)
    assert command(system, "migrations", "apply", database.name, *folder).applied == ("0001_more_notes.sql",)
    assert command(system, "migrations", "apply", database.name, *folder).applied == ()
    assert database.prepare("SELECT text FROM notes").raw() == [["one; two"]]
