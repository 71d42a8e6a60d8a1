"""Which writes a log has made lately, by the keys that they carry, so that a repeated one is not made again.

The keys follow from the log: whoever has read it up to the same entry remembers the same ones.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import msgspec

from raylite.policies import limits
from raylite.policies.errors import Corrupt

KEY_BYTES: Final = 16


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    floor: int
    notes: list[tuple[int, bytes]]


class Keys:
    """The notes of the newest entries whose writes have a key: the key, and behind it what came of the write.

    floor: a sequence; of entries up to there notes may be forgotten, of all later ones none is.
    """

    def __init__(
        self,
        floor: int = 0,
        *,
        most: int = limits.REMEMBERED_KEYS,
        most_bytes: int = limits.REMEMBERED_KEY_BYTES,
    ) -> None:
        self.floor = floor
        self._most, self._most_bytes = most, most_bytes
        self._notes: dict[bytes, tuple[int, bytes]] = {}
        self._bytes = 0

    def add(self, sequence: int, note: bytes) -> None:
        """Takes the note of the next entry; empty if its write has no key."""
        if len(note) < KEY_BYTES:
            return
        _, before = self._notes.pop(note[:KEY_BYTES], (0, b""))
        self._bytes -= len(before)
        self._notes[note[:KEY_BYTES]] = sequence, note
        self._bytes += len(note)
        while len(self._notes) > self._most or self._bytes > self._most_bytes:
            self._forget_oldest()

    def outcome(self, key: bytes) -> bytes | None:
        """What came of the write with this key; None if no entry that is remembered has it."""
        found = self._notes.get(key)
        return found[1][KEY_BYTES:] if found else None

    def may_have_forgotten(self, since: int) -> bool:
        """Whether a note of an entry behind this sequence may be gone."""
        return since < self.floor

    def copy(self) -> Keys:
        """The same, which goes its own way from here."""
        other = type(self)(self.floor, most=self._most, most_bytes=self._most_bytes)
        other._notes, other._bytes = dict(self._notes), self._bytes
        return other

    def encode(self) -> bytes:
        """The bytes from which `decode` makes the same."""
        return msgspec.msgpack.encode(_Stored(self.floor, list(self._notes.values())))

    @classmethod
    def decode(cls, encoded: bytes, sequence: int) -> Keys:
        """The keys at the entry of that sequence; raises `Corrupt`. Without bytes nothing is remembered of it."""
        if not encoded:
            return cls(sequence)
        try:
            stored = msgspec.msgpack.decode(encoded, type=_Stored)
        except (ValueError, RecursionError) as error:
            raise Corrupt("the keys of writes", f"sequence {sequence}", str(error)) from error
        _check(stored, sequence)
        keys = cls(stored.floor)
        for at, note in stored.notes:
            keys.add(at, note)
        return keys

    def _forget_oldest(self) -> None:
        key = next(iter(self._notes))
        self.floor, note = self._notes.pop(key)
        self._bytes -= len(note)


def _check(stored: _Stored, sequence: int) -> None:
    """Raises `Corrupt` unless these can be the notes of entries behind the floor up to that one, in order."""
    sequences = [stored.floor, *(at for at, _ in stored.notes)]
    ascending = all(before < after for before, after in pairwise(sequences))
    if not ascending or stored.floor < 0 or sequences[-1] > sequence:
        raise Corrupt("the keys of writes", f"sequence {sequence}", "they are not in order")
    keys = {note[:KEY_BYTES] for _, note in stored.notes if len(note) >= KEY_BYTES}
    if len(keys) < len(stored.notes):
        raise Corrupt("the keys of writes", f"sequence {sequence}", "a note has no key, or that of another")
