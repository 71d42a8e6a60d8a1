"""Frames and payloads: whatever arrives, in whatever portions, is what was sent or a violation."""

from __future__ import annotations

import datetime
import math
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raylite.actors.core.messages import Append, Inspect, Pieces, Read
from raylite.actors.stream_codec import (
    HEADER,
    PING,
    REPLY,
    REQUEST,
    Frames,
    Payload,
    Violation,
    append_frame,
    append_payload,
    decode_payload,
    encode_payload,
    from_failure,
    to_failure,
)
from raylite.policies import limits
from raylite.policies.bookmark import origin
from raylite.policies.errors import ConstraintError, Error, NoReply, ParameterError
from raylite.policies.query import Answer, Failure, Mode, Query, Rows, Statement, StatementMeta
from raylite.policies.transfer import OpenExport, RunImport

PLACE = origin("db")
META = StatementMeta(0.5, 1, 7, True, 8192, None, 2)
VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.binary(max_size=8),
)
QUERIES = st.builds(
    Query,
    st.text(max_size=5),
    st.sampled_from(Mode),
    st.lists(
        st.builds(Statement, st.text(max_size=9), st.lists(VALUES, max_size=4).map(tuple)), max_size=3
    ).map(tuple),
    st.text(max_size=5),
    st.floats(0, 60),
    st.booleans(),
)
ROWS = st.builds(
    Rows,
    st.just(("a", "b")),
    st.lists(st.tuples(VALUES, VALUES), max_size=4),
    st.just(META),
)
PAYLOADS: st.SearchStrategy[Payload] = st.one_of(
    QUERIES,
    st.builds(
        Answer,
        st.lists(ROWS, max_size=2),
        st.text(),
        st.just("p"),
        st.just("weur"),
        st.booleans(),
        st.booleans(),
    ),
    st.builds(
        Failure,
        st.text(),
        st.lists(st.one_of(st.text(), st.integers(0, 9)), max_size=3).map(tuple),
        st.text(),
    ),
    st.builds(Inspect, st.text()),
    st.builds(Read, st.text(), st.text(), st.just(PLACE), st.integers(0, 2**40)),
    st.builds(
        Pieces, st.text(), st.just(PLACE), st.lists(st.binary(max_size=99)), st.just(PLACE), st.just(PLACE)
    ),
)
FRAMES = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 2**64 - 1), st.binary(max_size=60)), max_size=6
)
Taken = list[tuple[int, int, bytes]]


def taken(frames: Frames) -> Taken:
    found: Taken = []
    while (frame := frames.next()) is not None:
        found.append((frame.kind, frame.number, bytes(frame.payload)))
    return found


def encoded(sent: Taken) -> bytes:
    buffer = bytearray()
    for kind, number, payload in sent:
        append_frame(buffer, kind, number, payload)
    return bytes(buffer)


def slow_parse(data: bytes, limit: int) -> tuple[Taken, bool]:
    """Frames of `data` and whether a bad length follows them: the obvious way."""
    found: Taken = []
    while len(data) >= 4:
        length = int.from_bytes(data[:4], "big")
        if length < 9 or length > limit:
            return found, True
        if len(data) < 4 + length:
            break
        found.append((data[4], int.from_bytes(data[5:13], "big"), data[13 : 4 + length]))
        data = data[4 + length :]
    return found, False


@given(FRAMES, st.lists(st.integers(1, 40), min_size=1))
def test_frames_come_out_as_they_went_in_however_they_are_cut(sent: Taken, cuts: list[int]) -> None:
    frames, data, found, step = Frames(1000), encoded(sent), Taken(), 0
    while data:
        size = cuts[step % len(cuts)]
        frames.feed(data[:size])
        found += taken(frames)
        data, step = data[size:], step + 1
    assert found == sent


def test_frames_survive_a_cut_at_every_byte() -> None:
    sent = [(1, 1, b""), (2, 2**63, b"abc"), (4, 3, bytes(20)), (1, 4, b"z")]
    data = encoded(sent)
    for cut in range(len(data) + 1):
        frames = Frames(1000)
        frames.feed(data[:cut])
        first = taken(frames)
        frames.feed(data[cut:])
        assert first + taken(frames) == sent


@given(st.binary(max_size=200), st.integers(9, 40), st.integers(1, 30))
def test_random_bytes_are_cut_as_the_obvious_parser_does(data: bytes, limit: int, size: int) -> None:
    expected, violated = slow_parse(data, limit)
    frames, found, refused = Frames(limit), Taken(), False
    for at in range(0, len(data), size):
        frames.feed(data[at : at + size])
        try:
            while (frame := frames.next()) is not None:
                found.append((frame.kind, frame.number, bytes(frame.payload)))
        except Violation:
            refused = True
            break
    assert found == expected
    assert refused == violated


@pytest.mark.parametrize("length", [0, 1, 8, limits.HELLO_BYTES + 1, 2**31, 2**32 - 1])
def test_a_bad_length_is_refused_as_soon_as_it_is_there(length: int) -> None:
    frames = Frames(limits.HELLO_BYTES)
    frames.feed(length.to_bytes(4, "big"))
    with pytest.raises(Violation, match="bytes"):
        frames.next()


def test_a_truncated_frame_waits_for_the_rest() -> None:
    data = encoded([(1, 7, b"payload")])
    for cut in range(len(data)):
        frames = Frames(100)
        frames.feed(data[:cut])
        assert frames.next() is None


def test_a_taken_frame_leaves_nothing_behind() -> None:
    frames, data = Frames(1 << 20), encoded([(1, 7, bytes(1000))])
    before = sys.getrefcount(data)
    frames.feed(data)
    assert len(taken(frames)) == 1
    assert sys.getrefcount(data) == before


@given(PAYLOADS)
def test_payloads_come_back_as_they_were(payload: Payload) -> None:
    assert decode_payload(encode_payload(payload)) == payload
    buffer = bytearray(b"before")
    size = append_payload(buffer, REQUEST, 5, payload)
    frames = Frames(1 << 20)
    frames.feed(bytes(buffer[6:]))
    frame = frames.next()
    assert frame is not None
    assert (frame.kind, frame.number, len(frame.payload)) == (REQUEST, 5, size)
    assert decode_payload(frame.payload) == payload


@given(st.binary(max_size=120))
def test_random_bytes_are_no_payload_or_one_that_encodes_again(data: bytes) -> None:
    try:
        payload = decode_payload(data)
    except Violation:
        return
    assert same(decode_payload(encode_payload(payload)), payload)


@given(PAYLOADS, st.data())
def test_damaged_payloads_are_refused_or_read_as_some_payload(payload: Payload, data: st.DataObject) -> None:
    whole = bytearray(encode_payload(payload))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    whole += data.draw(st.binary(max_size=3))
    try:
        found = decode_payload(bytes(whole))
    except Violation:
        return
    assert isinstance(found, msgspec.Struct)
    assert same(decode_payload(encode_payload(found)), found)


def same(one: Payload, other: Payload) -> bool:
    return one == other or encode_payload(one) == encode_payload(other)  # NaN is not equal to itself


@settings(max_examples=30)
@given(PAYLOADS)
def test_every_truncation_of_a_payload_is_refused(payload: Payload) -> None:
    whole = encode_payload(payload)
    for cut in range(len(whole)):
        with pytest.raises(Violation):
            decode_payload(whole[:cut])


FOREIGN: list[object] = [
    [1],
    {},
    {"a": 1},
    msgspec.msgpack.Ext(3, b"x"),
    datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
]


@pytest.mark.parametrize("value", FOREIGN)
def test_values_that_sqlite_does_not_have_are_refused_in_queries_and_answers(value: object) -> None:
    query = ["Query", "db", "run", [["SELECT ?", [value]]], "", 1.0]
    meta = [0.5, 1, 7, True, 8192, None, None]
    answer = ["Answer", [[["a"], [[1], [value]], meta]], "", "p", "weur", True, False]
    for foreign in (query, answer):
        with pytest.raises(Violation, match="SQLite"):
            decode_payload(msgspec.msgpack.encode(foreign))


@pytest.mark.parametrize("message", [["Eval", "db"], ["Query"], [], None, "Query", {"type": "Inspect"}, 7])
def test_only_messages_of_the_union_are_accepted(message: object) -> None:
    with pytest.raises(Violation):
        decode_payload(msgspec.msgpack.encode(message))


def test_deep_nesting_is_refused_without_a_crash() -> None:
    nested = b"\x93" + encode_payload(Inspect("db"))[1:] + b"\x91" * 200_000 + b"\xc0"
    with pytest.raises(Violation):
        decode_payload(nested)


def test_a_huge_declared_array_is_refused() -> None:
    declared = b"\x96\xa5Query\xa1d\xa3run\xdd\xff\xff\xff\xff"
    with pytest.raises(Violation):
        decode_payload(declared)


@pytest.mark.parametrize("value", ["\ud800", 2**64, -(2**63) - 1])
def test_a_query_that_cannot_be_encoded_is_the_callers_fault_and_leaves_no_trace(value: str | int) -> None:
    buffer = bytearray(b"before")
    with pytest.raises(ParameterError, match="Nothing was applied"):
        append_payload(buffer, REQUEST, 1, Query("db", Mode.RUN, (Statement("SELECT ?", (value,)),), "", 1.0))
    assert buffer == b"before"


def test_an_answer_that_cannot_be_encoded_is_our_own_fault() -> None:
    buffer = bytearray(b"before")
    with pytest.raises(UnicodeEncodeError):
        append_payload(buffer, REPLY, 1, Inspect("\ud800"))
    assert buffer == b"before"


def test_not_a_number_and_infinity_travel() -> None:
    query = Query("db", Mode.RUN, (Statement("SELECT ?, ?", (math.nan, math.inf)),), "", 1.0)
    found = decode_payload(encode_payload(query))
    assert isinstance(found, Query)
    first, second = found.statements[0].params
    assert isinstance(first, float)
    assert math.isnan(first)
    assert second == math.inf


def test_errors_come_back_with_class_fields_and_bookmark() -> None:
    failure = to_failure(ConstraintError("UNIQUE constraint failed", 2067, -1), "mark")
    assert failure.bookmark == "mark"
    error = from_failure(failure)
    assert type(error) is ConstraintError
    assert error.args == ("UNIQUE constraint failed", 2067, -1)
    assert type(from_failure(to_failure(NoReply("follower:1", "gone")))) is NoReply


@given(st.text(), st.lists(st.one_of(st.text(), st.integers(), st.floats()), max_size=6).map(tuple))
def test_any_failure_becomes_some_error(name: str, fields: tuple[str | int | float, ...]) -> None:
    for kind in (name, "ConstraintError", "Overloaded", "Error"):
        error = from_failure(Failure(kind, fields))
        assert isinstance(error, Error)


def test_the_frame_of_an_empty_ping_is_thirteen_bytes() -> None:
    buffer = bytearray()
    append_frame(buffer, PING, 1)
    assert bytes(buffer) == b"\x00\x00\x00\x09\x04\x00\x00\x00\x00\x00\x00\x00\x01"
    assert len(buffer) == HEADER.size


def test_an_append_of_one_page_costs_little_more_than_the_page() -> None:
    append = Append("d" * 32, "i" * 16, 1, 1, "dir", PLACE, [bytes(4200)], PLACE, PLACE)
    assert len(encode_payload(append)) < 4200 + 300


@pytest.mark.parametrize(
    "payload",
    [
        Query("shop", Mode.RUN, (), "", math.nan),
        OpenExport("shop", "", math.nan),
        RunImport("transfer", "digest", math.nan),
    ],
)
def test_no_deadline_is_made_of_what_is_no_number(payload: Payload) -> None:
    with pytest.raises(Violation):
        decode_payload(encode_payload(payload))


def test_a_failure_whose_fields_give_no_text_is_an_error_that_has_one() -> None:
    error = from_failure(Failure("StatementError", ("a", "b", "c")))
    assert type(error) is Error
    assert "StatementError" in str(error)
