"""What is asked of every decoder of bytes that come from a disk or a network."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from raylite.policies.errors import Corrupt


class Decoder(msgspec.Struct, frozen=True):
    """One decoder.

    seeds: really encoded values; again: the bytes that the decoded value is encoded to, None if the decoder says that
    there is none; refusals: what it may raise. covered: a checksum or digest covers the bytes, so what is accepted is
    one of the seeds' values; forge: makes the checksums of any bytes right, as somebody who writes them can.
    """

    what: str
    seeds: tuple[bytes, ...]
    again: Callable[[bytes], bytes | None]
    refusals: tuple[type[Exception], ...] = (Corrupt,)
    covered: bool = False
    forge: Callable[[bytes], bytes] | None = None

    def check(self, data: bytes, *, forged: bool = False) -> None:
        """Refused in the decoder's own words, or a value that is encoded to what is decoded to the same."""
        try:
            again = self.again(data)
        except self.refusals:
            return
        if again is None:
            return
        if self.covered and not forged:
            assert again in [self.again(seed) for seed in self.seeds], "accepted what nobody has written"
        assert self.again(again) == again
