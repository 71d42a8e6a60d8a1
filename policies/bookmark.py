"""A bookmark: the place of an entry in one database's log (rules: docs/architecture.md, Bookmarks).

Text: `EEEEEEEE-SSSSSSSS-ssssssss-HHHHHHHHDDDDDDDDDDDDDDDDDDDDDDDD`, lower-case hex: epoch, sequence (high and
low half), history, running digest. Fixed width, so text order is the order of history.
"""

from __future__ import annotations

import re
from hashlib import blake2b

import msgspec

from raylite.policies.errors import BookmarkError

DIGEST_BYTES = 12
HISTORY_BYTES = 4
_TEXT = re.compile(r"([0-9a-f]{8})-([0-9a-f]{8})-([0-9a-f]{8})-([0-9a-f]{8})([0-9a-f]{24})")


class Bookmark(msgspec.Struct, frozen=True, order=True, array_like=True):
    """An entry's place: strictly increasing along a log, tied by digest to all that came before.

    epoch: 0 to 2**32-1; sequence: 0 to 2**64-1; history: 4 bytes of the database's id; digest: 12 bytes.
    Two bookmarks of one history with the same digest stand for the same prefix of the log.
    """

    epoch: int
    sequence: int
    history: bytes
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> Bookmark:
        """The bookmark of this text; raises `BookmarkError` if it is not one."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise BookmarkError(text[:80], "is malformed")
        epoch, high, low, history, digest = match.groups()
        return cls(int(epoch, 16), int(high + low, 16), bytes.fromhex(history), bytes.fromhex(digest))

    def __str__(self) -> str:
        high, low = divmod(self.sequence, 1 << 32)
        return f"{self.epoch:08x}-{high:08x}-{low:08x}-{self.history.hex()}{self.digest.hex()}"


def origin(database_id: str) -> Bookmark:
    """The place before a database's first entry: epoch 0, sequence 0, digest of its id."""
    raw = database_id.encode()
    history = blake2b(raw, digest_size=HISTORY_BYTES, person=b"raylite-history").digest()
    return Bookmark(0, 0, history, blake2b(raw, digest_size=DIGEST_BYTES).digest())


def extend(digest: bytes, encoded: bytes | memoryview) -> bytes:
    """The running digest after `encoded`: blake2b over the digest before it and all its bytes."""
    state = blake2b(digest, digest_size=DIGEST_BYTES)
    state.update(encoded)
    return state.digest()
