"""A journal's checkpoint comes back as it was written, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.log_disk import Disk
from tests.unit.test_log_records import members, places

from raylite.actors.storage import log_checkpoint
from raylite.actors.storage.log_checkpoint import Awaited, Checkpoint, Kept, decode
from raylite.policies.bookmark import origin
from raylite.policies.errors import Corrupt

DIRECTORY = Path("/journal")
kept = st.builds(
    Kept,
    st.text(min_size=1, max_size=20),
    st.text(max_size=20),
    st.integers(0, 1 << 32),
    places,
    st.none() | members,
    st.just(((1, 1), (3, 70))),
    st.integers(0, 1 << 50),
    st.sampled_from(Awaited),
    st.booleans(),
    st.booleans(),
)
checkpoints = st.builds(Checkpoint, st.integers(1, 1 << 60), st.lists(kept, max_size=3).map(tuple[Kept, ...]))


def written(checkpoint: Checkpoint) -> tuple[Disk, bytes]:
    disk = Disk()
    disk.make_directory(DIRECTORY)
    log_checkpoint.write(disk, DIRECTORY, checkpoint)
    descriptor = disk.open(DIRECTORY / log_checkpoint.NAME)
    return disk, disk.pread(descriptor, disk.size(descriptor), 0)


@given(checkpoints, checkpoints)
def test_the_newest_is_read_and_survives_a_power_loss(before: Checkpoint, now: Checkpoint) -> None:
    disk, _ = written(before)
    log_checkpoint.write(disk, DIRECTORY, now)
    disk.lose_power()
    assert log_checkpoint.read(disk, DIRECTORY) == now


@given(checkpoints, st.data())
def test_any_changed_or_missing_byte_is_damage(checkpoint: Checkpoint, data: st.DataObject) -> None:
    _, encoded = written(checkpoint)
    assert decode(encoded) == checkpoint
    at = data.draw(st.integers(0, len(encoded) - 1))
    counts = at not in range(5, 8)  # reserved
    damaged = bytearray(encoded)
    damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    for wrong in (encoded[:at], *([bytes(damaged)] if counts else [])):
        with pytest.raises(Corrupt):
            decode(wrong)


@given(st.binary(max_size=200))
def test_no_other_bytes_are_a_checkpoint(data: bytes) -> None:
    with pytest.raises(Corrupt):
        decode(data)


def test_a_damaged_one_counts_as_none() -> None:
    disk, encoded = written(Checkpoint(3, ()))
    disk.flip(DIRECTORY / log_checkpoint.NAME, len(encoded) - 1)
    assert log_checkpoint.read(disk, DIRECTORY) is None


class Holding:
    """A database of which segments from `oldest` on are needed."""

    def __init__(self, oldest: int | None) -> None:
        self.oldest = oldest

    def keep(self, first: int) -> Kept:
        return Kept(f"from {first}", "", 0, origin("a"), None, (), 0, Awaited.NOTHING, False, False)


@pytest.mark.parametrize(
    ("needed", "reached", "first"), [([None], 4, 4), ([3, None, 7], 9, 3), ([8], 5, 5), ([], 2, 2)]
)
def test_no_segment_goes_that_is_needed_or_may_hold_what_nobody_was_told_of_yet(
    needed: list[int | None], reached: int, first: int
) -> None:
    made = Checkpoint.of([Holding(one) for one in needed], reached)
    assert made.first == first
    assert all(one.database == f"from {first}" for one in made.databases)
