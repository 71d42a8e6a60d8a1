"""Bytes as damage and malice make them: of really encoded ones, flipped, cut, put together, with other lengths."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import msgspec
from hypothesis import settings
from hypothesis import strategies as st

EXAMPLES: Final = int(os.environ.get("RAYLITE_FUZZ", "0"))
"""How many examples each decoder gets; 0: as many as each test says."""

NUMBERS: Final = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
)
BLOBS: Final = (
    b"\x91" * 3000, b"[" * 3000, b"\x81\x90" * 1500,  # nested deeper than any decoder may follow
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff",  # huge
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", b"\xcb\xff\xf0\x00\x00\x00\x00\x00\x00",  # no number, and infinity
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\xd7\xff" + b"\xff" * 8, b"\xa2\xc3\x28", b"\xc0", b"\xc1", b"\x90", b"\x80", b"\xa0", b"\0", b"-1", b"1e999",
)  # fmt: skip


class Change(msgspec.Struct, frozen=True):
    """One step of damage. Places and sizes count modulo what there is."""

    what: str
    first: int
    second: int
    blob: bytes

    def of(self, data: bytes, other: bytes) -> bytes:
        """The bytes after it. other: a second sound value, for what is put together."""
        if not data:
            return self.blob
        at = self.first % len(data)
        size = 1 + self.second % 16
        match self.what:
            case "flip":
                return data[:at] + bytes([data[at] ^ 1 << self.second % 8]) + data[at + 1 :]
            case "cut":
                return data[:at]
            case "remove":
                return data[:at] + data[at + size :]
            case "repeat":
                return data[: at + size] + data[at:]
            case "insert":
                return data[:at] + self.blob + data[at:]
            case "replace":
                return data[:at] + self.blob + data[at + len(self.blob) :]
            case "number":
                return _with_number(data, at, self.second)
            case "swap":
                return _swapped(data, at, self.second % len(data), size)
            case "join":
                return data[:at] + other[self.second % (len(other) + 1) :]
            case _:
                return self.blob


def _with_number(data: bytes, at: int, choice: int) -> bytes:
    """An interesting number where a length, a count or an offset may be."""
    width = (1, 2, 4, 8)[choice % 4]
    number = NUMBERS[choice // 4 % len(NUMBERS)] & ((1 << 8 * width) - 1)
    return data[:at] + number.to_bytes(width, "big") + data[at + width :]


def _swapped(data: bytes, one: int, other: int, size: int) -> bytes:
    """Two stretches in each other's place: fields and lengths of one part with those of another."""
    low, high = sorted((one, other))
    size = min(size, high - low)
    middle = data[low + size : high]
    return data[:low] + data[high : high + size] + middle + data[low : low + size] + data[high + size :]


_PLACES: Final = st.integers(0, (1 << 16) - 1)
_KINDS: Final = (
    "flip",
    "cut",
    "remove",
    "repeat",
    "insert",
    "replace",
    "number",
    "number",
    "swap",
    "join",
    "other",
)
CHANGES: Final = st.lists(
    st.builds(
        Change, st.sampled_from(_KINDS), _PLACES, _PLACES,
        st.one_of(st.sampled_from(BLOBS), st.binary(max_size=12)),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds after one to four changes."""
    data = draw(st.sampled_from(seeds))
    other = draw(st.sampled_from(seeds))
    for change in draw(CHANGES):
        data = change.of(data, other)
    return data


def tried(examples: int) -> settings:
    """How often a test is tried: as often as it says, or as `RAYLITE_FUZZ` says."""
    return settings(max_examples=EXAMPLES or examples)
