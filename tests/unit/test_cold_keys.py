"""Keys of writes in cold storage: whoever begins from there knows what the log says of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.unit.cold_world import DATABASE, Log, begun, new_run, upload

from raylite.actors.cold.archive import Archive
from raylite.actors.cold.boot import advance
from raylite.actors.cold.file_pages import FilePages
from raylite.actors.cold.manifest import State
from raylite.actors.cold.restore import restore
from raylite.actors.core.keys import KEY_BYTES, Keys
from raylite.actors.storage.directory import Directory
from raylite.actors.storage.files import RealFiles
from raylite.actors.storage.generation import Generation

KEY, LATER = b"k" * KEY_BYTES, b"l" * KEY_BYTES


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """A log with a write that has a key, and one more entry."""
    with Log(tmp_path / "log") as made:
        made.begin()
        made.empty(2, KEY + b"it was done")
        made.fill(100)
        yield made


def restored(archive: Archive, log: Log, path: Path) -> State:
    return restore(archive, log.end, RealFiles(), path)


def keys_of(state: State) -> Keys:
    return Keys.decode(state.keys, state.bookmark.sequence)


def test_a_restore_knows_what_segments_say_and_what_the_snapshot_says(log: Log, tmp_path: Path) -> None:
    archive = begun()
    upload(archive, log, [len(log.entries)])
    first = restored(archive, log, tmp_path / "first")
    assert keys_of(first).outcome(KEY) == b"it was done"
    with FilePages(tmp_path / "first", first) as pages:
        archive.snapshot(pages, new_run())
    before = len(log.entries)
    log.empty(3, LATER)
    upload(archive, log, [len(log.entries)], before)
    keys = keys_of(restored(archive, log, tmp_path / "second"))
    assert (keys.outcome(KEY), keys.outcome(LATER), keys.floor) == (b"it was done", b"", 0)


def test_a_file_that_is_made_from_cold_storage_begins_with_them(log: Log, tmp_path: Path) -> None:
    archive = begun()
    upload(archive, log, [len(log.entries)])
    directory = Directory.claim(tmp_path / "primary", 0)
    generation = Generation.begin(directory, DATABASE)
    generation.set_certain(msgspec.structs.replace(log.start, digest=b"of another." + b"!"))
    made = advance(archive, generation)
    assert made.certain == log.end
    assert made.keys.outcome(KEY) == b"it was done"
    directory.release()
