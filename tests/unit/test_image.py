from __future__ import annotations

from pathlib import Path

import apsw

from raylite.actors.storage.engine_apsw import connect
from raylite.actors.storage.image import EMPTY, PAGE_SIZE


def _image(folder: Path) -> Path:
    path = folder / "db"
    path.write_bytes(EMPTY)
    return path


def test_sqlite_takes_the_image_as_an_empty_database_in_wal_mode(tmp_path: Path) -> None:
    connection = connect(str(_image(tmp_path)), apsw.SQLITE_OPEN_READWRITE)
    assert list(connection.execute("PRAGMA journal_mode")) == [("wal",)]
    assert list(connection.execute("PRAGMA integrity_check")) == [("ok",)]
    assert list(connection.execute("PRAGMA page_count")) == [(1,)]
    assert list(connection.execute("PRAGMA page_size")) == [(PAGE_SIZE,)]
    assert len(EMPTY) == PAGE_SIZE
    assert list(connection.execute("PRAGMA encoding")) == [("UTF-8",)]
    assert list(connection.execute("PRAGMA auto_vacuum")) == [(0,)]
    assert list(connection.execute("SELECT * FROM sqlite_schema")) == []


def test_the_image_is_one_that_sqlite_itself_makes_but_for_counter_schema_format_and_version(
    tmp_path: Path,
) -> None:
    path = tmp_path / "own"
    connection = connect(str(path), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
    list(connection.execute("PRAGMA journal_mode=wal"))
    connection.close()
    own = bytearray(path.read_bytes())
    for first, last in ((24, 28), (44, 48), (56, 60), (92, 100)):
        own[first:last] = EMPTY[first:last]
    assert bytes(own) == EMPTY


def test_the_first_write_goes_to_the_wal_and_leaves_the_image_alone(tmp_path: Path) -> None:
    path = _image(tmp_path)
    connection = connect(str(path), apsw.SQLITE_OPEN_READWRITE)
    connection.execute("CREATE TABLE t (a)")
    assert path.read_bytes() == EMPTY
    connection.close()
    assert path.read_bytes() == EMPTY
    assert (tmp_path / "db-wal").stat().st_size > PAGE_SIZE
