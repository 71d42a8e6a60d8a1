"""A copy's directory: one owner, a record that tells what the file holds, one folder a process."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.unit.replica_world import DATABASE, Entry, Primary

from raylite.actors.storage.directory import Directory, Record
from raylite.actors.storage.generation import Generation
from raylite.actors.storage.image import EMPTY, PAGE_SIZE
from raylite.actors.storage.wal_replay import Replay
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import Corrupt, Unreachable


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    made = Directory.claim(tmp_path / "replica", 0)
    yield made
    made.release()


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Primary]:
    """A primary with some entries, and its file checkpointed."""
    made = Primary(tmp_path)
    made.run("CREATE TABLE t (k INTEGER PRIMARY KEY, x)")
    for size in (100, 60_000, 10, 30_000):
        made.run(f"INSERT INTO t (x) VALUES (randomblob({size}))")
    made.empty()
    made.run("DELETE FROM t WHERE k = 2")
    made.run("VACUUM")
    made.checkpoint()
    yield made
    made.close()


def replay(generation: Generation, entries: list[Entry], place: Bookmark) -> None:
    with Replay(generation, place) as running:
        for entry in entries:
            for one in entry.encoded:
                running.write(one)


def replayed(directory: Directory, primary: Primary) -> Generation:
    generation = Generation.begin(directory, DATABASE)
    replay(generation, primary.entries, primary.tail)
    return generation


def test_a_directory_has_one_owner_and_keeps_its_id(tmp_path: Path) -> None:
    first = Directory.claim(tmp_path / "a", 0)
    with pytest.raises(Unreachable):
        Directory.claim(tmp_path / "a", 0)
    first.release()
    second = Directory.claim(tmp_path / "a", 0)
    other = Directory.claim(tmp_path / "b", 0)
    assert second.id == first.id
    assert other.id != first.id
    assert len(first.id) == 32
    second.release()
    other.release()


def test_an_id_that_was_half_written_is_made_anew(tmp_path: Path) -> None:
    first = Directory.claim(tmp_path / "a", 0)
    first.release()
    (tmp_path / "a" / "lock").write_text(first.id[:20])
    second = Directory.claim(tmp_path / "a", 0)
    assert len(second.id) == 32
    assert second.id != first.id
    second.release()


def test_who_does_not_get_a_directory_takes_a_fresh_one_that_is_removed_later(tmp_path: Path) -> None:
    first = Directory.claim(tmp_path / "a", 0)
    second = Directory.claim_or_fresh(tmp_path / "a", 0)
    assert second.path.parent == tmp_path
    assert second.path != first.path
    assert second.id != first.id
    first.release()
    third = Directory.claim_or_fresh(tmp_path / "a", 0)
    assert third.path == first.path
    assert second.path.exists(), "it is in use"
    third.release()
    second.release()
    Directory.claim_or_fresh(tmp_path / "a", 0).release()
    assert not second.path.exists()


def test_a_first_generation_is_the_empty_image_at_the_origin(directory: Directory) -> None:
    generation = Generation.begin(directory, DATABASE)
    assert generation.database.read_bytes() == EMPTY
    assert generation.certain == origin(DATABASE)
    assert generation.goal is None
    assert generation.doubt == ""


def test_a_replayed_file_is_the_primary_s_and_moves_on_without_wal_and_index(
    directory: Directory, primary: Primary
) -> None:
    first = replayed(directory, primary)
    assert first.database.read_bytes() == primary.path.read_bytes()
    for suffix in ("-wal", "-shm"):
        first.database.with_name(f"database{suffix}").write_bytes(b"left over")
    second = Generation.begin(directory, DATABASE)
    assert second.doubt == ""
    assert second.certain == primary.tail
    assert second.path != first.path
    assert not first.path.exists()
    assert os.listdir(second.path) == ["database"]
    assert second.database.read_bytes() == primary.path.read_bytes()


def test_a_folder_is_never_used_twice(directory: Directory) -> None:
    names = [Generation.begin(directory, DATABASE).path.name for _ in range(3)]
    names += [Generation.anew(directory, DATABASE, "for a reason").path.name for _ in range(3)]
    assert sorted(set(names)) == names


def test_a_replay_goes_on_where_the_file_is(directory: Directory, primary: Primary) -> None:
    replay(Generation.begin(directory, DATABASE), primary.entries[:3], primary.entries[2].place)
    generation = Generation.begin(directory, DATABASE)
    assert generation.certain == primary.entries[2].place
    replay(generation, primary.entries[3:], primary.tail)
    assert generation.database.read_bytes() == primary.path.read_bytes()


def test_a_replay_that_was_cut_short_leaves_a_goal_that_the_next_must_pass(
    directory: Directory, primary: Primary
) -> None:
    goal = primary.entries[-1].place
    running = Replay(Generation.begin(directory, DATABASE), goal)
    running.__enter__()
    running.write(primary.entries[0].encoded[0])
    running.__exit__(KeyboardInterrupt)
    generation = Generation.begin(directory, DATABASE)
    assert (generation.certain, generation.goal) == (origin(DATABASE), goal)
    with pytest.raises(Corrupt, match="beyond"):
        replay(generation, primary.entries[:2], primary.entries[1].place)
    replay(generation, primary.entries, goal)
    assert (generation.certain, generation.goal) == (goal, None)
    assert generation.database.read_bytes() == primary.path.read_bytes()


def test_a_goal_that_is_not_in_the_log_is_corrupt(
    directory: Directory, primary: Primary, tmp_path: Path
) -> None:
    lost = Primary(tmp_path / "other", epoch=2)
    lost.run("CREATE TABLE lost (x)")
    generation = Generation.begin(directory, DATABASE)
    generation.set_goal(lost.tail)
    lost.close()
    with pytest.raises(Corrupt, match="did not pass"):
        replay(generation, primary.entries, primary.tail)
    assert generation.goal is not None


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_replay_that_ends_too_early_is_corrupt(directory: Directory, primary: Primary, kept: int) -> None:
    generation = Generation.begin(directory, DATABASE)
    with pytest.raises(Corrupt):
        replay(generation, primary.entries[:kept], primary.tail)
    assert generation.goal == primary.tail


def test_a_replay_takes_nothing_out_of_order_and_nothing_beyond_its_end(
    directory: Directory, primary: Primary
) -> None:
    generation = Generation.begin(directory, DATABASE)
    with pytest.raises(Corrupt), Replay(generation, primary.tail) as running:
        running.write(primary.entries[2].encoded[0])
    with pytest.raises(Corrupt):
        replay(generation, primary.entries, primary.entries[1].place)


def test_a_first_page_with_an_impossible_size_costs_the_file_and_not_the_start(
    directory: Directory, primary: Primary
) -> None:
    generation = replayed(directory, primary)
    directory.write_record(msgspec.structs.replace(generation.record, goal=primary.tail))
    with generation.database.open("r+b") as file:
        os.pwrite(file.fileno(), b"\xff" * 4, 28)
    _, hard = limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, hard))
    try:
        again = Generation.begin(directory, DATABASE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert "first page" in again.doubt
    assert (again.certain, again.goal, again.database.read_bytes()) == (origin(DATABASE), None, EMPTY)
    replay(again, primary.entries, primary.tail)
    assert again.database.read_bytes() == primary.path.read_bytes()


def test_a_goal_is_never_lowered(directory: Directory, primary: Primary) -> None:
    generation = Generation.begin(directory, DATABASE)
    generation.set_goal(primary.entries[3].place)
    with pytest.raises(Corrupt):
        generation.set_goal(primary.entries[1].place)
    generation.set_goal(primary.entries[4].place)
    generation.set_certain(primary.entries[4].place)
    assert generation.goal is None


def change(directory: Directory, record: Record | None, what: str) -> None:
    """Makes the directory doubtful."""
    assert record is not None
    database = directory.folders()[-1] / "database"
    match what:
        case "another boot":
            directory.write_record(msgspec.structs.replace(record, boot="another"))
        case "no file":
            database.unlink()
        case "two files":
            (directory.next_folder() / "database").write_bytes(EMPTY)
        case "half a page":
            with database.open("r+b") as file:
                file.truncate(PAGE_SIZE + 100)
        case "a torn record":
            (directory.path / "record").write_bytes(record.encode()[:-5])
        case "another version":
            (directory.path / "record").write_bytes(record.encode().replace(b'"version":2', b'"version":3'))
        case _:
            (directory.path / "record").write_bytes(record.encode().replace(b"-", b"?"))


@pytest.mark.parametrize(
    "what",
    [
        "another boot",
        "no file",
        "two files",
        "half a page",
        "a torn record",
        "another version",
        "no bookmark",
    ],
)
def test_whatever_is_doubtful_is_thrown_away_and_said(
    directory: Directory, primary: Primary, what: str
) -> None:
    replayed(directory, primary)
    change(directory, directory.read_record(), what)
    generation = Generation.begin(directory, DATABASE)
    assert generation.doubt
    assert generation.database.read_bytes() == EMPTY
    assert (generation.certain, generation.goal) == (origin(DATABASE), None)
    assert directory.folders() == [generation.path]


def test_the_file_of_another_database_is_thrown_away(directory: Directory, primary: Primary) -> None:
    replayed(directory, primary)
    generation = Generation.begin(directory, "other")
    assert generation.doubt
    assert generation.certain == origin("other")


def test_a_forgotten_copy_begins_empty(directory: Directory, primary: Primary) -> None:
    forgotten = replayed(directory, primary)
    forgotten.forget()
    forgotten.set_certain(primary.entries[0].place)
    generation = Generation.begin(directory, DATABASE)
    assert generation.certain == origin(DATABASE)
    assert generation.database.read_bytes() == EMPTY


def test_a_process_that_died_before_its_first_record_leaves_nothing_that_counts(directory: Directory) -> None:
    (directory.next_folder() / "database").write_bytes(b"x" * PAGE_SIZE)
    generation = Generation.begin(directory, DATABASE)
    assert generation.database.read_bytes() == EMPTY


@pytest.mark.parametrize(
    "record",
    [b"", b"\xff", b'{"version":2,"database_id":"\xff"}', b'{"x":' + b"[" * 100_000],
    ids=["empty", "no text", "text that is no UTF-8", "deeper than can be read"],
)
def test_a_record_of_any_bytes_leads_to_an_empty_file(
    directory: Directory, primary: Primary, record: bytes
) -> None:
    replayed(directory, primary)
    (directory.path / "record").write_bytes(record)
    generation = Generation.begin(directory, DATABASE)
    assert generation.doubt
    assert generation.certain == origin(DATABASE)


def test_no_flipped_bit_of_a_record_is_believed(directory: Directory, primary: Primary) -> None:
    """One made an epoch of 2,097,154 of 2: that replica showed the same for ever, as what everybody waited for."""
    replayed(directory, primary)
    record = directory.read_record()
    assert record is not None
    whole = record.encode()
    assert Record.decode(whole) == record
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Corrupt):
            Record.decode(bytes(damaged))
