"""A file of SQL, cut into statements."""

from __future__ import annotations

import io

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylite.actors.storage.sql_file import Text, statements, texts
from raylite.policies import limits
from raylite.policies.errors import LimitExceeded, StatementError

TRIGGER = (
    "create /* x; */ trigger t after insert on a begin select ';' ; select case 1 when 1 then 2 end; end ;"
)
PARTS = st.sampled_from(
    ["a", " ", ";", ";", "'", '"', "`", "[", "]", "--", "\n", "/*", "*/", "*", "/", "-", "END", "CREATE ", "TEMP ",
     "TRIGGER ", "EXPLAIN ", "é"]
)  # fmt: skip


class Dripping(io.BytesIO):
    """A file whose reads give a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self._size = size

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._size)


def cut(text: str, block: int) -> list[str]:
    return [one.sql for one in texts(Dripping(text.encode(), block))]


def by_sqlite(text: str) -> list[str]:
    """Where `sqlite3_complete` is true for the first time, from each statement's begin on."""
    found: list[str] = []
    begin = 0
    for at, character in enumerate(text, 1):
        if character == ";" and apsw.complete(text[begin:at]):
            found.append(text[begin:at])
            begin = at
    return found + ([text[begin:]] if text[begin:] else [])


@given(st.lists(PARTS, max_size=30).map("".join))
def test_statements_end_where_sqlite_says(text: str) -> None:
    assert cut(text, 1) == [one for one in by_sqlite(text) if one]


@given(st.lists(PARTS, max_size=30).map("".join), st.integers(1, 40))
def test_however_the_file_is_read_nothing_of_it_is_lost_and_no_statement_is_cut(
    text: str, block: int
) -> None:
    found = cut(text, block)
    assert "".join(found) == text
    ends = {0}
    for one in by_sqlite(text):
        ends.add(max(ends) + len(one))
    sums = [len("".join(found[: n + 1])) for n in range(len(found))]
    assert set(sums) <= ends


@given(st.lists(PARTS, max_size=30).map("".join))
def test_the_statements_of_a_text_lie_in_order_and_nothing_between_them_is_one(text: str) -> None:
    found = list(statements(text))
    assert all(one.strip().strip(";") for one in found)
    rest = text
    for one in found:
        before, _, rest = rest.partition(one)
        assert not list(statements(before))


def test_comments_and_empty_statements_are_none() -> None:
    assert list(statements("; a ; -- b;\n ; /* c; */ ; d -- e")) == [" a ;", " d -- e"]
    assert list(statements(f"{TRIGGER} a")) == [TRIGGER, " a"]
    assert list(statements(" -- only this")) == list(statements("/* open")) == []


def test_semicolons_in_strings_comments_and_triggers_end_nothing() -> None:
    statements = ["INSERT INTO a VALUES (';''', \"x;\");", " -- one; two\n SELECT 1;", TRIGGER, "\nSELECT 2"]
    assert cut("".join(statements), 1) == statements


def test_a_text_tells_its_line_and_how_far_it_goes() -> None:
    data = "\ufeffSELECT 'é\n';\nSELECT 2;".encode()
    assert list(texts(Dripping(data, 1))) == [
        Text("SELECT 'é\n';", 1, len(data) - 10),
        Text("\nSELECT 2;", 2, len(data)),
    ]
    [both] = texts(io.BytesIO(data))
    assert both.end == len(data)


def test_a_statement_without_end_is_refused_before_it_fills_the_memory() -> None:
    endless = b"SELECT 1;\nSELECT '" + b"x" * (limits.SQL_BYTES * 3)
    with pytest.raises(LimitExceeded, match="line 1"):
        list(texts(io.BytesIO(endless)))


def test_bytes_that_are_not_utf_8_are_named_by_their_line() -> None:
    with pytest.raises(StatementError, match="line 2"):
        list(texts(io.BytesIO(b"SELECT 1;\nSELECT '\xff';")))


def test_a_nul_character_is_refused() -> None:
    with pytest.raises(StatementError, match="line 3 of the file holds a NUL"):
        list(texts(io.BytesIO(b"SELECT\n1;\nSELECT '\0';")))


def test_many_small_statements_come_in_few_texts() -> None:
    data = b"INSERT INTO t VALUES (1, 'x');\n" * 100_000
    found = list(texts(io.BytesIO(data)))
    assert len(found) < 30
    assert "".join(one.sql for one in found).encode() == data
