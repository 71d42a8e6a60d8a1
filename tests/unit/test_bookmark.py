"""Bookmarks: text, order and the running digest."""

from __future__ import annotations

from hashlib import blake2b

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylite.policies.bookmark import Bookmark, extend, origin
from raylite.policies.errors import BookmarkError

_BOOKMARKS = st.builds(
    Bookmark,
    st.integers(0, 2**32 - 1) | st.integers(0, 3),
    st.integers(0, 2**64 - 1) | st.integers(0, 3) | st.integers(2**32 - 2, 2**32 + 2),
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=12, max_size=12),
)


def test_a_bookmark_reads_as_the_format_says() -> None:
    bookmark = Bookmark(1, (2 << 32) + 3, bytes.fromhex("0a0b0c0d"), bytes(range(12)))
    assert str(bookmark) == "00000001-00000002-00000003-0a0b0c0d000102030405060708090a0b"


@given(_BOOKMARKS)
def test_a_bookmark_survives_its_text_and_the_wire(bookmark: Bookmark) -> None:
    assert Bookmark.parse(str(bookmark)) == bookmark
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(bookmark), type=Bookmark) == bookmark


@given(_BOOKMARKS, _BOOKMARKS)
def test_the_order_of_texts_is_the_order_of_history(a: Bookmark, b: Bookmark) -> None:
    assert (str(a) < str(b)) == (a < b)
    assert (a.epoch, a.sequence) <= (b.epoch, b.sequence) or a > b


_GOOD = str(origin("db"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        _GOOD[:-1],
        _GOOD + "0",
        _GOOD + "\n",
        " " + _GOOD,
        _GOOD.upper(),
        _GOOD.replace("-", "_"),
        "٣" + _GOOD[1:],
    ],
)
def test_what_is_no_bookmark_is_refused(text: str) -> None:
    with pytest.raises(BookmarkError, match="malformed"):
        Bookmark.parse(text)


@given(st.text("0123456789abcdef-g", max_size=70))
def test_any_text_is_a_bookmark_or_a_bookmark_error(text: str) -> None:
    try:
        assert str(Bookmark.parse(text)) == text
    except BookmarkError:
        assert len(text) != len(_GOOD) or text.count("-") != 3 or "g" in text or _misplaced(text)


def _misplaced(text: str) -> bool:
    return [at for at, letter in enumerate(text) if letter == "-"] != [8, 17, 26]


def test_an_error_about_a_long_text_is_short() -> None:
    with pytest.raises(BookmarkError) as caught:
        Bookmark.parse("0" * 1_000_000)
    assert len(str(caught.value)) < 300


def test_databases_differ_from_their_first_bookmark_on() -> None:
    one, other = origin("one"), origin("other")
    assert one.history != other.history
    assert one.digest != other.digest
    assert origin("one") == one
    assert (one.epoch, one.sequence) == (0, 0)


def test_the_digest_covers_what_came_before_and_every_byte() -> None:
    start = origin("db").digest
    assert extend(start, b"ab") == blake2b(start + b"ab", digest_size=12).digest()
    assert (
        len({extend(start, b"ab"), extend(start, b"aB"), extend(start, b"ab\0"), extend(bytes(12), b"ab")})
        == 4
    )
    assert extend(start, memoryview(b"ab")) == extend(start, b"ab")
