"""Time travel: bookmarks and times of a busy hour, against a model kept beside it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.unit.cold_world import DATABASE, START_US, Log, MemoryStore, begun, restored, snapshot_at, upload

from raylite.actors.cold.archive import Archive
from raylite.actors.cold.timeline import find, span
from raylite.policies.errors import Corrupt, ParameterError

SEED = 20_261_123
ENTRIES = 240


class Hour(msgspec.Struct, frozen=True):
    log: Log
    archive: Archive


def busy(log: Log, chance: random.Random) -> None:
    """A write, some seconds after the one before, or in the same instant."""
    log.time_us += chance.choice([-1_000_000, 0, 7_000_000, 20_000_000])
    match chance.randrange(6):
        case 0:
            log.run("DELETE FROM t WHERE k % 7 = ?", chance.randrange(7))
        case 1:
            log.run("UPDATE t SET x = x || ? WHERE k % 3 = ?", "more", chance.randrange(3))
        case 2 if not chance.randrange(8):
            log.run("VACUUM")
        case 3 if not chance.randrange(20):
            log.empty(log.writer.epoch + 2)
        case _:
            log.run("INSERT INTO t (x) VALUES (randomblob(?))", chance.choice([10, 500, 30_000]))


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hour]:
    """About an hour of writes, uploaded in stretches of some entries, with a snapshot now and then."""
    chance = random.Random(SEED)
    log = Log(tmp_path_factory.mktemp("hour"))
    archive = begun()
    log.begin()
    uploaded = 0
    while len(log.entries) < ENTRIES:
        busy_or_nothing(log, chance)
        if len(log.entries) - uploaded >= chance.randrange(2, 30):
            upload(archive, log, [len(log.entries)], uploaded)
            uploaded = len(log.entries)
        if not chance.randrange(40) and uploaded:
            snapshot_at(archive, log, uploaded - chance.randrange(2))
    if uploaded < ENTRIES:
        upload(archive, log, [ENTRIES], uploaded)
    yield Hour(log, archive)
    log.close()


def busy_or_nothing(log: Log, chance: random.Random) -> None:
    """A statement that changes no row makes no entry."""
    with contextlib.suppress(AssertionError):
        busy(log, chance)


def test_an_hour_has_all_that_makes_it_hard(hour: Hour) -> None:
    times = [one.time_us for one in hour.log.entries]
    assert times[-1] - times[0] > 1200 * 1_000_000
    assert len(set(times)) < len(times), "some entries have the same time"
    assert len(hour.archive.snapshots()) > 3
    assert len(hour.archive.segments()) > 10
    assert len({one.place.epoch for one in hour.log.entries}) > 1


@pytest.mark.parametrize("block", range(4))
def test_a_hundred_bookmarks_show_what_the_model_has(hour: Hour, tmp_path: Path, block: int) -> None:
    chance = random.Random(SEED + block)
    for _ in range(25):
        entry = hour.log.entries[chance.randrange(ENTRIES)]
        assert restored(hour.archive, entry.place, tmp_path / "past") == entry.image


def test_a_hundred_times_find_the_newest_entry_that_is_not_later(hour: Hour) -> None:
    chance = random.Random(SEED)
    entries = hour.log.entries
    times = [chance.randrange(entries[0].time_us, entries[-1].time_us + 10_000_000) for _ in range(60)]
    times += [one.time_us + more for one in chance.sample(entries, 20) for more in (0, 1)]
    for time_us in times:
        expected = [one for one in entries if one.time_us <= time_us][-1]
        found = find(hour.archive, time_us)
        assert (found.bookmark, found.time_us) == (expected.place, expected.time_us)


def test_a_time_before_all_that_is_kept_is_refused_with_what_is_kept(hour: Hour) -> None:
    first = hour.log.entries[0]
    with pytest.raises(ParameterError, match="is before the oldest state that is kept, of 2027-01-15T08:00:"):
        find(hour.archive, first.time_us - 1)
    assert first.time_us > START_US


def test_the_span_is_from_the_first_entry_to_the_last(hour: Hour) -> None:
    found = span(hour.archive)
    assert found.oldest.bookmark == hour.log.entries[0].place
    assert found.newest.bookmark == hour.log.entries[-1].place


def test_what_has_no_archive_has_no_times() -> None:
    with pytest.raises(Corrupt, match="no archive"):
        find(Archive(MemoryStore(), DATABASE), START_US)


def test_below_the_oldest_snapshot_nothing_is_found(hour: Hour) -> None:
    """As after retention: the beginning is gone."""
    store = hour.archive.store
    assert isinstance(store, MemoryStore)
    kept = Archive(store.copy(), DATABASE)
    snapshots = kept.snapshots()
    for name, _ in snapshots[:2]:
        kept.store.delete(str(name))
    oldest = snapshots[2][0]
    assert span(kept).oldest.bookmark == oldest.bookmark
    assert find(kept, oldest.time_us).time_us == oldest.time_us
    with pytest.raises(ParameterError):
        find(kept, oldest.time_us - 1)
