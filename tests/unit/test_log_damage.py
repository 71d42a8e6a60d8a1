"""Damage to what was synced is noticed, given up database by database, and never mistaken for a torn tail."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from tests.unit.log_disk import Disk
from tests.unit.log_model import DIRECTORY, begin, entries, observe, opened, place_of

from raylite.actors.core.piece import Header, Kind, Pages, describe, encode
from raylite.actors.core.store import StoreDropped, StorePiece, StorePromise
from raylite.actors.storage.log_file import Journal
from raylite.actors.storage.log_records import HEAD_BYTES, Encoder, Location, Record, StoreJoined, take_apart
from raylite.actors.storage.log_segment import BLOCK_BYTES, FIRST, numbers, path_of
from raylite.policies.bookmark import origin
from raylite.policies.errors import Corrupt


def segment(number: int) -> Path:
    return path_of(DIRECTORY, number)


def stored(disk: Disk, *batches: list[Record]) -> list[list[Location]]:
    """One life that writes these batches, each synced, and says so on disk at its end."""
    journal = opened(disk)
    found: list[list[Location]] = []
    for batch in batches:
        found.append(journal.write(batch))
        journal.sync()
    journal.close()
    return found


def given_up(journal: Journal) -> set[str]:
    return {database for database, held in journal.recovered.items() if held.gave_up}


def three_segments(disk: Disk) -> tuple[Location, ...]:
    """Databases old, a, b: `old` in segment 1 alone, a and b in segment 2, b in segment 3; b's and a's in 2."""
    stored(disk, begin("old") + entries("old", 2))
    (found,) = stored(disk, begin("a") + begin("b") + entries("a", 2) + entries("b", 2))
    stored(disk, entries("b", 2, end=place_of(entries("b", 2)[-1])))
    return tuple(found)


def test_every_flipped_byte_of_a_record_gives_up_its_database_at_least_and_changes_no_other_state() -> None:
    whole = Disk()
    locations = three_segments(whole)
    expected = observe(opened(whole.copy()))
    for index, location in enumerate(locations):
        head = range(HEAD_BYTES + 1)  # the ids have one character
        for at in (*head, *range(head.stop, location.size, 11)):
            disk = whole.copy()
            disk.flip(segment(2), location.offset + at, 1 << at % 8)
            journal = opened(disk)
            owner = "a" if index in (0, 1, 2, 6, 7) else "b"
            assert given_up(journal) == ({"a", "b"} if at in head else {owner}), (index, at)
            found = observe(journal)
            for database in expected.keys() - given_up(journal):
                assert found[database] == expected[database]


@pytest.mark.parametrize("kind", ["promise", "piece"])
def test_a_record_that_turns_up_in_another_ones_place_is_damage(kind: str) -> None:
    disk = Disk()
    changes = [Record("a", StorePromise(8)), Record("a", StorePromise(9))]
    two = changes if kind == "promise" else entries("a", 2)
    (found,) = stored(disk, begin("a") + two + begin("b"))
    first, second = found[3:5]
    content = disk.bytes_of(segment(1))
    for index in range(first.size):
        disk.flip(
            segment(1), first.offset + index, content[first.offset + index] ^ content[second.offset + index]
        )
    assert given_up(opened(disk)) == {"a", "b"}


def test_a_piece_whose_bytes_do_not_continue_the_log_is_damage_though_its_checksum_fits() -> None:
    disk = Disk()
    (first,) = entries("a", 1)
    assert isinstance(first.change, StorePiece)
    wrong = Record("a", StorePiece(first.change.piece, first.change.encoded[:-1] + b"x"))
    stored(disk, [*begin("a"), *begin("b"), wrong])
    assert given_up(opened(disk)) == {"a"}


def test_what_was_given_up_stays_so_even_if_the_damage_heals() -> None:
    disk = Disk()
    location = three_segments(disk)[-1]
    disk.flip(segment(2), location.offset + location.size - 1)
    opened(disk).close()
    disk.flip(segment(2), location.offset + location.size - 1)
    journal = opened(disk)
    assert given_up(journal) == {"b"}
    journal.write([Record("b", StoreJoined("again")), *entries("b", 1)])
    journal.sync()
    journal.close()
    disk.flip(segment(2), location.offset + location.size - 1)
    held = opened(disk).recovered["b"]
    assert (held.gave_up, held.incarnation, len(held.pieces)) == (False, "again", 1)


def test_damage_to_what_a_deleted_database_once_held_concerns_nobody() -> None:
    disk = Disk()
    (found,) = stored(disk, [*begin("a"), *entries("a", 2), Record("a", StoreDropped()), *begin("b")])
    disk.flip(segment(1), found[3].offset + found[3].size - 1)
    journal = opened(disk)
    assert given_up(journal) == set()
    assert journal.recovered["a"].dropped


def test_a_deleted_database_stays_deleted_whoever_else_is_damaged() -> None:
    for index in (3, -1):
        disk = Disk()
        (found,) = stored(disk, [*begin("a"), *entries("a", 2), Record("a", StoreDropped()), *begin("b")])
        disk.flip(segment(1), found[index].offset)
        journal = opened(disk)
        assert given_up(journal) == {"b"}
        assert journal.recovered["a"].dropped


def test_a_lost_record_of_a_database_with_no_other_record_there_counts_for_every_database() -> None:
    disk = Disk()
    stored(disk, begin("old") + begin("rare"))
    (found,) = stored(disk, [Record("rare", StorePromise(7)), *begin("a"), *entries("a", 1)])
    disk.flip(segment(2), found[0].offset)
    assert given_up(opened(disk)) == {"old", "rare", "a"}


def test_a_lost_record_of_a_database_that_has_another_there_spares_databases_elsewhere() -> None:
    disk = Disk()
    stored(disk, begin("old") + begin("b"))
    found = stored(disk, [Record("b", StorePromise(7))], [Record("b", StorePromise(8)), *begin("a")])
    disk.flip(segment(2), found[0][0].offset)
    assert given_up(opened(disk)) == {"a", "b"}


def test_one_damaged_copy_of_a_segments_header_harms_nothing() -> None:
    disk = Disk()
    three_segments(disk)
    expected = observe(opened(disk.copy()))
    for start in (0, BLOCK_BYTES):
        for offset in range(start, start + 52):
            copy = disk.copy()
            for number in (1, 2, 3):
                copy.flip(segment(number), offset)
            assert observe(opened(copy)) == expected


@pytest.mark.parametrize(("number", "lost"), [(1, set[str]()), (2, {"old", "b"}), (3, {"old", "a", "b"})])
def test_both_headers_damaged_gives_up_all_that_was_known_by_then(number: int, lost: set[str]) -> None:
    disk = Disk()
    three_segments(disk)
    for start in (0, BLOCK_BYTES):
        disk.flip(segment(number), start + 5)
    for _ in range(2):
        journal = opened(disk)
        assert given_up(journal) == lost
        assert ("old" in journal.recovered) == (number > 1)
        journal.close()


@pytest.mark.parametrize(("number", "lost"), [(1, set[str]()), (2, {"old", "b"})])
def test_a_segment_that_is_gone_gives_up_all_that_was_known_by_then(number: int, lost: set[str]) -> None:
    disk = Disk()
    three_segments(disk)
    disk.remove(segment(number))
    for _ in range(2):
        journal = opened(disk)
        assert given_up(journal) == lost
        assert ("old" in journal.recovered) == (number > 1)
        journal.close()


def test_a_shortened_segment_is_damage() -> None:
    disk = Disk()
    three_segments(disk)
    descriptor = disk.open(segment(2))
    disk.truncate(descriptor, FIRST + 300)
    disk.close(descriptor)
    assert given_up(opened(disk)) == {"a", "b"}


def test_the_newest_data_counts_as_protected_once_the_journal_has_been_idle() -> None:
    disk = Disk()
    journal = opened(disk)
    location = journal.write(begin("a") + entries("a", 1))[-1]
    journal.sync()
    assert journal.unmarked
    journal.mark()
    assert not journal.unmarked
    disk.lose_power()
    disk.flip(segment(1), location.offset + location.size - 1)
    assert given_up(opened(disk)) == {"a"}


def test_later_records_protect_what_was_synced_before_them() -> None:
    disk = Disk()
    journal = opened(disk)
    first = journal.write(begin("a") + entries("a", 1))[-1]
    journal.sync()
    journal.write(begin("b"))
    disk.kill()
    disk.flip(segment(1), first.offset + first.size - 1)
    assert given_up(opened(disk)) == {"a"}


def test_an_unsynced_batch_of_which_a_part_is_missing_is_a_torn_tail_and_nobody_is_given_up() -> None:
    disk = Disk()
    journal = opened(disk)
    first = entries("a", 1)
    journal.write(begin("a") + first)
    journal.sync()
    locations = journal.write(entries("a", 3, end=place_of(first[0])))
    disk.kill()
    disk.flip(segment(1), locations[1].offset + 60)
    journal = opened(disk)
    assert not given_up(journal)
    assert len(journal.recovered["a"].pieces) == 2


def test_records_of_a_torn_tail_do_not_come_back_behind_what_is_written_next() -> None:
    disk = Disk()
    journal = opened(disk)
    journal.write(begin("a") + begin("b"))
    journal.sync()
    lost = journal.write([*entries("a", 1), Record("b", StorePromise(9))])
    disk.kill()
    disk.flip(segment(1), lost[0].offset + 60)
    for _ in range(3):
        journal = opened(disk)
        assert journal.recovered["b"].promised == 1
        assert not given_up(journal)
        disk.lose_power()


def test_a_page_made_to_look_like_a_record_is_not_read_as_one() -> None:
    """Its writer knows all but the salt."""
    probe = Disk()
    (found,) = stored(probe, begin("a") + entries("a", 1, size=4096))
    inside = found[-1].offset + found[-1].size - 4096
    forged = Encoder(1, b"guessed!", inside, inside, set())
    forged.add_all(map(take_apart, begin("victim")))
    encoded = encode(
        Header(Kind.WRITE, True, 1, 1, 0, 0, 4096, 1), Pages((1,), (forged.take().ljust(4096, b"\0"),))
    )
    disk = Disk()
    piece = Record("a", StorePiece(describe(origin("a"), encoded), encoded))
    (found,) = stored(disk, [*begin("a"), piece])
    disk.flip(segment(1), found[-1].offset)
    journal = opened(disk)
    assert given_up(journal) == set(journal.recovered) == {"a"}


def test_reading_a_damaged_piece_raises() -> None:
    disk = Disk()
    journal = opened(disk)
    location = journal.write(begin("a") + entries("a", 1))[-1]
    for offset in range(location.offset, location.offset + location.size, 7):
        disk.flip(segment(1), offset)
        with pytest.raises(Corrupt):
            journal.read(location)
        disk.flip(segment(1), offset)
    assert len(journal.read(location)) > 512
    with pytest.raises(Corrupt, match="no such record"):
        journal.read(Location(1, location.offset + 1, location.size - 1))


def test_a_block_that_the_disk_cannot_read_is_damage_and_spares_databases_elsewhere() -> None:
    disk = Disk()
    stored(disk, begin("old"))
    (found,) = stored(disk, begin("a") + begin("b") + entries("a", 3, size=4096))
    disk.wear_out(segment(2), found[-2].offset + 4000)
    journal = opened(disk)
    assert given_up(journal) == {"a", "b"}
    with pytest.raises(Corrupt, match="unreadable"):
        journal.read(found[-2])
    assert journal.read(found[-3])


def test_a_file_that_is_gone_makes_reading_raise() -> None:
    disk = Disk()
    journal = opened(disk)
    location = journal.write(begin("a") + entries("a", 1))[-1]
    disk.remove(segment(1))
    with pytest.raises(Corrupt, match="gone"):
        journal.read(location)


def test_a_journal_of_a_later_version_is_refused_and_left_alone() -> None:
    disk = Disk()
    stored(disk, begin("a"))
    content = disk.bytes_of(segment(1))
    fixed = bytearray(content[:48])
    fixed[4] = 2
    for start in (0, BLOCK_BYTES):
        for index, byte in enumerate(bytes(fixed) + struct.pack(">I", zlib.crc32(fixed))):
            disk.flip(segment(1), start + index, byte ^ content[start + index])
    before = disk.bytes_of(segment(1))
    with pytest.raises(Corrupt, match="version 2"):
        opened(disk)
    assert disk.bytes_of(segment(1)) == before
    assert numbers(disk, DIRECTORY) == [1]
