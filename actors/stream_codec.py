"""Frames and payloads of the stream: bytes in, values out, no I/O.

A frame, big-endian: u32 length of what follows it, u8 kind, u64 request number, payload. A payload is one struct
of the closed union `Payload` as MessagePack. Whatever else arrives is a `Violation`, and the connection ends.
"""

from __future__ import annotations

import math
import struct
from typing import Final, NamedTuple

import msgspec

from raylite.actors.core.keys import KEY_BYTES
from raylite.actors.core.messages import RelayMessage
from raylite.policies import errors
from raylite.policies.errors import Error, ParameterError
from raylite.policies.open_values import OpenRows, checked_row
from raylite.policies.query import Answer, Dialect, Failure, Mode, Query, Statement
from raylite.policies.transfer import OpenExport, RunImport, TransferReply, TransferRequest

Payload = RelayMessage | Query | Answer | Failure | TransferRequest | TransferReply

REQUEST: Final = 1
REPLY: Final = 2
EMPTY: Final = 3
"""A reply without a payload: the request was taken, there is nothing to say."""
PING: Final = 4
PONG: Final = 5
HELLO: Final = 16
WELCOME: Final = 17
PROOF: Final = 18
REFUSAL: Final = 19

HEADER: Final = struct.Struct(">IBQ")
_LENGTH: Final = struct.Struct(">I")
_LENGTH_BYTES: Final = 4
_BLANK: Final = bytes(HEADER.size)
_LEAST: Final = HEADER.size - _LENGTH_BYTES


class Violation(Exception):
    """The peer sent what the protocol does not have; the connection cannot go on. It never crosses a wire."""


class Frame(NamedTuple):
    """One whole frame. payload: a view that holds until the next `Frames.feed`."""

    kind: int
    number: int
    payload: memoryview


class Frames:
    """Cuts a stream of bytes into frames.

    Holds at most what was fed and not yet taken; a length outside 9 to `limit` bytes is a `Violation` as soon as
    its four bytes are there, so nothing is ever allocated for it.
    """

    __slots__ = ("_at", "_data", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._data: bytes | bytearray = b""
        self._at = 0

    def feed(self, data: bytes) -> None:
        """Append what has arrived."""
        if self._at == len(self._data):
            self._data, self._at = data, 0
            return
        if self._at or not isinstance(self._data, bytearray):
            self._data, self._at = bytearray(memoryview(self._data)[self._at :]), 0
        self._data += data

    def next(self) -> Frame | None:
        """The next whole frame, None if more bytes are needed; raises `Violation`."""
        data, at = self._data, self._at
        held = len(data) - at
        if held < _LENGTH_BYTES:
            if not held:
                self._data, self._at = b"", 0
            return None
        (length,) = _LENGTH.unpack_from(data, at)
        if not _LEAST <= length <= self.limit:
            raise Violation(f"a frame of {length} bytes, {_LEAST} to {self.limit} are allowed")
        if held < _LENGTH_BYTES + length:
            return None
        _, kind, number = HEADER.unpack_from(data, at)
        self._at = end = at + _LENGTH_BYTES + length
        return Frame(kind, number, memoryview(data)[at + HEADER.size : end])


def append_frame(buffer: bytearray, kind: int, number: int, payload: bytes = b"") -> None:
    """Put a frame with these payload bytes at the end of `buffer`."""
    buffer += HEADER.pack(_LEAST + len(payload), kind, number)
    buffer += payload


def append_payload(buffer: bytearray, kind: int, number: int, payload: Payload) -> int:
    """Put a frame with this payload at the end of `buffer`; returns the payload's size in bytes.

    Raises `ParameterError` for a query with values that are none of SQLite's, or that cannot be encoded, and
    ValueError, TypeError or OverflowError for another payload that cannot; the buffer is then as before.
    """
    start = len(buffer)
    buffer += _BLANK
    try:
        _ENCODER.encode_into(_checked(payload), buffer, start + HEADER.size)
    except (ValueError, TypeError, OverflowError) as error:
        del buffer[start:]
        if isinstance(payload, Query):
            raise ParameterError(f"the query cannot be sent: {error}") from error
        raise
    size = len(buffer) - start - HEADER.size
    HEADER.pack_into(buffer, start, _LEAST + size, kind, number)
    return size


def encode_payload(payload: Payload) -> bytes:
    """The bytes of a payload, for a way without frames; raises as `append_payload`."""
    buffer = bytearray()
    append_payload(buffer, REQUEST, 0, payload)
    return bytes(memoryview(buffer)[HEADER.size :])


def decode_payload(encoded: bytes | memoryview) -> Payload:
    """The payload of these bytes; raises `Violation` if they are none."""
    try:
        found = _DECODER.decode(encoded)
        if isinstance(found, OpenExport | RunImport | _Query) and math.isnan(found.seconds):
            raise ValueError("seconds that are no number, of which no deadline can be made")
        return found.value() if isinstance(found, _Query | _Answer) else found
    except (ValueError, TypeError, RecursionError) as error:
        raise Violation(f"a payload that is none: {error}") from error


def to_failure(error: Error, bookmark: str = "") -> Failure:
    """An error as it travels. bookmark: text of the newest entry that it may have seen, or ""."""
    return Failure(*errors.encode(error), bookmark)


def from_failure(failure: Failure) -> Error:
    """The error that travelled; if its fields do not fit its class, a plain `Error` that has them all."""
    try:
        return errors.decode(failure.error, failure.fields)
    except TypeError:
        return Error(failure.error, *failure.fields)


# Queries and answers are read with open values, which are then checked.


class _Statement(msgspec.Struct, frozen=True, array_like=True):
    sql: str
    params: tuple[object, ...] = ()


class _Query(msgspec.Struct, frozen=True, array_like=True, tag="Query"):
    database: str
    mode: Mode
    statements: tuple[_Statement, ...]
    bookmark: str
    seconds: float
    primary: bool = False
    at: str = ""
    key: bytes = b""
    since: str = ""
    repeated: bool = False
    dialect: Dialect = Dialect.RAYLITE

    def value(self) -> Query:
        if len(self.key) not in (0, KEY_BYTES):
            raise ValueError(f"a key of {len(self.key)} bytes")
        statements = tuple(Statement(one.sql, checked_row(one.params)) for one in self.statements)
        return Query(
            self.database, self.mode, statements, self.bookmark, self.seconds, self.primary, self.at,
            self.key, self.since, self.repeated, self.dialect,
        )  # fmt: skip


class _Answer(msgspec.Struct, frozen=True, array_like=True, tag="Answer"):
    results: list[OpenRows]
    bookmark: str
    served_by: str
    region: str
    primary: bool
    wrote: bool

    def value(self) -> Answer:
        results = [one.value() for one in self.results]
        return Answer(results, self.bookmark, self.served_by, self.region, self.primary, self.wrote)


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(
    RelayMessage | _Query | _Answer | Failure | TransferRequest | TransferReply
)


def _checked(payload: Payload) -> Payload:
    if isinstance(payload, Query):
        for one in payload.statements:
            checked_row(one.params)
    return payload
