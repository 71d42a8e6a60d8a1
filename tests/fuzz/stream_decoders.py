"""Decoders of what a connection brings: frames, payloads of every kind, and the hello."""

from __future__ import annotations

from typing import get_args, get_type_hints

import msgspec
from tests.fuzz.decoder import Decoder
from tests.fuzz.storage_decoders import MEMBERS, PLACE, ROWS, WRITE

from raylite.actors.core.base import Base
from raylite.actors.core.messages import RelayMessage
from raylite.actors.stream_codec import (
    REQUEST,
    Frame,
    Frames,
    Violation,
    append_frame,
    decode_payload,
    encode_payload,
    from_failure,
)
from raylite.actors.stream_hello import Dialling, Endpoint, Identity, Listening, Refused
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Unauthorized, Unreachable
from raylite.policies.query import Answer, Failure, Mode, Query, Statement
from raylite.policies.quorum import Members
from raylite.policies.transfer import Kind, TransferReply, TransferRequest

FRAME_LIMIT = 4096
KEY = bytes(32)
_BASE = Base(PLACE, MEMBERS, ((1, 1),), 5)
_SAMPLES: dict[object, object] = {
    str: "text", int: 3, float: 0.5, bool: True, bytes: b"bytes", Bookmark: PLACE, Members: MEMBERS, Base: _BASE,
    Base | None: _BASE, list[bytes]: [WRITE], tuple[tuple[int, int], ...]: ((1, 1), (3, 9)), Kind: Kind.SQLITE,
}  # fmt: skip


def _message(kind: type[msgspec.Struct]) -> bytes:
    """A message of this kind with something in every field."""
    hints = get_type_hints(kind)
    return msgspec.msgpack.encode([kind.__name__, *(_SAMPLES[hints[one]] for one in kind.__struct_fields__)])


def _payloads() -> tuple[bytes, ...]:
    kinds = (*get_args(RelayMessage), *get_args(TransferRequest), *get_args(TransferReply))
    query = Query(
        "shop", Mode.BATCH, (Statement("SELECT ?, ?", (1, b"x")), Statement("SELECT 1")), str(PLACE), 5.0, True,
        "", b"k" * 16, str(PLACE), True,
    )  # fmt: skip
    answer = Answer([ROWS], str(PLACE), "primary", "weur", True, False)
    failures = Failure("StatementError", ("no such table", "SELECT 1", 7)), Failure("OutcomeNotKept", (9,))
    own = tuple(encode_payload(one) for one in (query, answer, *failures))
    return (*map(_message, kinds), *own)


def _payload(data: bytes) -> bytes:
    found = decode_payload(data)
    if isinstance(found, Failure):
        assert isinstance(str(from_failure(found)), str)
    if isinstance(found, Query):
        assert found.seconds == found.seconds, "no deadline comes of what is no number"
    return encode_payload(found)


def _framed(*payloads: bytes) -> bytes:
    buffer = bytearray()
    for number, payload in enumerate(payloads):
        append_frame(buffer, REQUEST, number, payload)
    return bytes(buffer)


def _frames(data: bytes) -> bytes:
    """The whole frames at the beginning, however they arrive."""
    frames, found = Frames(FRAME_LIMIT), bytearray()
    for first in range(0, len(data), 700):
        frames.feed(data[first : first + 700])
        while (frame := frames.next()) is not None:
            append_frame(found, frame.kind, frame.number, bytes(frame.payload))
    assert data.startswith(found)
    return bytes(found)


def _taken(data: bytes) -> Frame:
    frames = Frames(FRAME_LIMIT)
    frames.feed(data)
    frame = frames.next()
    if frame is None:
        raise Violation("no whole frame")
    return frame


_DIALLER = Identity("replica:1", "weur", KEY)
_LISTENER = Identity("follower:1", "enam", KEY)
_STRANGER = Identity("follower:1", "enam", b"other key")
_ENDPOINT = Endpoint("127.0.0.1", 1, "follower:1", "enam")
_DIALLING = Dialling(_DIALLER, _ENDPOINT)
_LISTENING = Listening(_LISTENER)
_WELCOME = _LISTENING.take(_taken(_DIALLING.hello()))
_REFUSED = Listening(_STRANGER).take(_taken(_DIALLING.hello()))
assert isinstance(_WELCOME, bytes)
assert isinstance(_REFUSED, bytes)
_PEER, _PROOF = _DIALLING.take(_taken(_WELCOME))


def _hello(data: bytes) -> None:
    assert isinstance(Listening(_LISTENER).take(_taken(data)), bytes), "nobody is believed at once"


def _welcome(data: bytes) -> bytes:
    peer, proof = _DIALLING.take(_taken(data))
    assert (peer, proof) == (_PEER, _PROOF)
    return _WELCOME if isinstance(_WELCOME, bytes) else b""


def _proof(data: bytes) -> bytes:
    assert not isinstance(_LISTENING.take(_taken(data)), bytes)
    return _PROOF


DECODERS = (
    Decoder("a payload", _payloads(), _payload, (Violation,)),
    Decoder("frames", (_framed(b"", b"payload", WRITE), _framed(*_payloads()[:3])), _frames, (Violation,)),
    Decoder("a hello", (_DIALLING.hello(), _framed(b"x")), _hello, (Violation, Refused)),
    Decoder(
        "a welcome",
        (_WELCOME, _REFUSED),
        _welcome,
        (Violation, Unauthorized, Unreachable),
    ),
    Decoder("a proof", (_PROOF, _framed(b"x")), _proof, (Violation, Refused)),
)
