"""Every decoder of bytes from a disk or a network, fed with damaged and with forged ones.

What comes of them is a refusal in the decoder's own words, or a value that is encoded to what is decoded to it again.
What a checksum covers is never taken for something that was not written. Nothing else is raised, nothing hangs, and
no memory is taken for what a length only says.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz import cold_decoders, storage_decoders, stream_decoders
from tests.fuzz.decoder import Decoder
from tests.fuzz.mutations import mutated, tried

DECODERS = (*storage_decoders.DECODERS, *stream_decoders.DECODERS, *cold_decoders.DECODERS)
FORGED = tuple(one for one in DECODERS if one.forge)


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda one: one.what)
def test_what_is_whole_is_read_and_written_the_same_again(decoder: Decoder) -> None:
    found = [decoder.again(seed) for seed in decoder.seeds if decoder.what not in REFUSED_SEEDS]
    assert [one for one in found if one is not None] == [
        seed for one, seed in zip(found, decoder.seeds, strict=False) if one is not None
    ]


REFUSED_SEEDS = {"a hello", "a welcome", "a proof"}
"""Decoders among whose seeds are frames that they do not take."""


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda one: one.what)
@tried(120)
@given(data=st.data())
def test_damaged_bytes_are_refused_or_were_not_harmed(decoder: Decoder, data: st.DataObject) -> None:
    decoder.check(data.draw(mutated(decoder.seeds)))


@pytest.mark.parametrize("decoder", FORGED, ids=lambda one: one.what)
@tried(120)
@given(data=st.data())
def test_bytes_whose_checksums_are_right_are_refused_or_a_value(
    decoder: Decoder, data: st.DataObject
) -> None:
    assert decoder.forge is not None
    decoder.check(decoder.forge(data.draw(mutated(decoder.seeds))), forged=True)
