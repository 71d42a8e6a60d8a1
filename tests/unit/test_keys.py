"""Keys of writes: what is remembered, what is known to be forgotten, and the bytes of both."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylite.actors.core.keys import KEY_BYTES, Keys
from raylite.policies.errors import Corrupt


def key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES)


def test_a_write_is_known_by_its_key_with_what_came_of_it() -> None:
    keys = Keys()
    keys.add(1, key(1) + b"one row")
    keys.add(2, b"")
    keys.add(3, key(3))
    assert (keys.outcome(key(1)), keys.outcome(key(2)), keys.outcome(key(3))) == (b"one row", None, b"")


@given(
    st.lists(st.tuples(st.booleans(), st.binary(max_size=30))),
    st.integers(1, 5),
    st.integers(KEY_BYTES + 30, 200),
)
def test_whatever_is_not_remembered_is_known_to_be_forgotten(
    writes: list[tuple[bool, bytes]], most: int, most_bytes: int
) -> None:
    keys = Keys(most=most, most_bytes=most_bytes)
    for sequence, (has_key, outcome) in enumerate(writes, 1):
        keys.add(sequence, key(sequence) + outcome if has_key else b"")
    known = [n for n in range(1, len(writes) + 1) if keys.outcome(key(n)) is not None]
    for sequence, (has_key, outcome) in enumerate(writes, 1):
        if keys.outcome(key(sequence)) is None and has_key:
            assert keys.may_have_forgotten(sequence - 1)
        elif has_key:
            assert keys.outcome(key(sequence)) == outcome
            assert not keys.may_have_forgotten(sequence - 1)
    assert len(known) <= most
    assert sum(KEY_BYTES + len(writes[n - 1][1]) for n in known) <= most_bytes


def test_they_come_back_from_their_bytes_and_go_on() -> None:
    keys = Keys(4)
    keys.add(5, key(5) + b"done")
    again = Keys.decode(keys.encode(), 9)
    again.add(10, key(10))
    assert (again.floor, again.outcome(key(5)), again.outcome(key(10))) == (4, b"done", b"")
    assert keys.outcome(key(10)) is None


def test_without_bytes_all_up_to_that_entry_is_forgotten() -> None:
    keys = Keys.decode(b"", 9)
    assert keys.may_have_forgotten(8)
    assert not keys.may_have_forgotten(9)


def test_damaged_bytes_are_refused() -> None:
    with pytest.raises(Corrupt):
        Keys.decode(b"\xc1", 9)


def test_a_copy_goes_its_own_way() -> None:
    keys = Keys()
    keys.copy().add(1, key(1))
    assert keys.outcome(key(1)) is None


@pytest.mark.parametrize(
    ("floor", "notes"),
    [
        (1, [(3, key(1)), (2, key(2))]),
        (2, [(2, key(1))]),
        (1, [(10, key(1))]),
        (10, []),
        (-1, []),
        (1, [(2, b"short")]),
        (1, [(2, key(1)), (3, key(1) + b"again")]),
    ],
)
def test_notes_that_no_log_up_to_that_entry_can_have_are_refused(
    floor: int, notes: list[tuple[int, bytes]]
) -> None:
    with pytest.raises(Corrupt):
        Keys.decode(msgspec.msgpack.encode((floor, notes)), 9)


def test_a_key_that_comes_again_counts_once() -> None:
    keys = Keys(most_bytes=2 * KEY_BYTES)
    for sequence in (1, 2, 3):
        keys.add(sequence, key(1))
    keys.add(4, key(2))
    assert keys.outcome(key(1)) == b""
    assert not keys.may_have_forgotten(3)
