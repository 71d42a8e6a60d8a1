"""The hello: both sides prove the key to each other, for this connection and these two actors only."""

from __future__ import annotations

import hmac
import struct
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylite.actors.stream_codec import PROOF, WELCOME, Frame, Frames, Violation
from raylite.actors.stream_hello import (
    VERSION,
    Dialling,
    Endpoint,
    Identity,
    Listening,
    Peer,
    Refused,
    derive_key,
    hkdf,
)
from raylite.policies import limits
from raylite.policies.errors import Error, Unauthorized, Unreachable

KEY = derive_key(b"token", "system")
DIALLER = Identity("primary:shop", "weur", KEY, "p1")
LISTENER = Identity("follower:1", "enam", KEY, "p2")
ENDPOINT = Endpoint("127.0.0.1", 4000, "follower:1", "enam")


def frame(data: bytes) -> Frame:
    frames = Frames(limits.HELLO_BYTES)
    frames.feed(data)
    found = frames.next()
    assert found is not None
    assert frames.next() is None
    return found


def answer(listening: Listening, data: bytes) -> bytes:
    result = listening.take(frame(data))
    assert isinstance(result, bytes)
    return result


def test_both_sides_learn_who_the_other_is() -> None:
    dialling, listening = Dialling(DIALLER, ENDPOINT), Listening(LISTENER)
    peer, proof = dialling.take(frame(answer(listening, dialling.hello())))
    assert peer == Peer("follower:1", "enam", "p2")
    assert listening.take(frame(proof)) == Peer("primary:shop", "weur", "p1")


def test_a_listener_with_another_key_is_unauthorized() -> None:
    dialling = Dialling(DIALLER, ENDPOINT)
    listening = Listening(replace(LISTENER, key=derive_key(b"token", "another system")))
    with pytest.raises(Unauthorized):
        dialling.take(frame(answer(listening, dialling.hello())))


def mac(key: bytes, side: bytes, hello: Frame, welcome: bytes) -> bytes:
    """The mac as docs describe it, by hand."""
    sizes = struct.pack(">QII", hello.number, len(hello.payload), len(welcome))
    return hmac.digest(key, b"raylite " + side + sizes + bytes(hello.payload) + welcome, "sha256")


@pytest.mark.parametrize(
    ("key", "side", "accepted"),
    [(KEY, b"dialler", True), (KEY, b"listener", False), (derive_key(b"guess", "system"), b"dialler", False)],
    ids=["the dialler's own", "the listener's", "another key's"],
)
def test_only_the_diallers_own_mac_under_the_key_is_a_proof(
    key: bytes, side: bytes, *, accepted: bool
) -> None:
    hello, listening = frame(Dialling(DIALLER, ENDPOINT).hello()), Listening(LISTENER)
    welcome = listening.take(hello)
    assert isinstance(welcome, bytes)
    proof = mac(key, side, hello, bytes(frame(welcome).payload[32:]))
    forged = Frame(PROOF, hello.number, memoryview(proof))
    if accepted:
        assert listening.take(forged) == Peer("primary:shop", "weur", "p1")
    else:
        with pytest.raises(Refused, match="another key"):
            listening.take(forged)


def test_a_recorded_hello_and_proof_are_refused_the_second_time() -> None:
    dialling, listening = Dialling(DIALLER, ENDPOINT), Listening(LISTENER)
    hello = dialling.hello()
    _, proof = dialling.take(frame(answer(listening, hello)))
    again = Listening(LISTENER)
    answer(again, hello)
    with pytest.raises(Refused):
        again.take(frame(proof))


def test_a_recorded_welcome_is_refused_the_second_time() -> None:
    dialling, listening = Dialling(DIALLER, ENDPOINT), Listening(LISTENER)
    welcome = answer(listening, dialling.hello())
    with pytest.raises(Unauthorized):
        Dialling(DIALLER, ENDPOINT).take(frame(welcome))


def test_the_listeners_own_mac_sent_back_proves_nothing() -> None:
    dialling, listening = Dialling(DIALLER, ENDPOINT), Listening(LISTENER)
    welcome = frame(answer(listening, dialling.hello()))
    with pytest.raises(Refused):
        listening.take(Frame(PROOF, welcome.number, welcome.payload[:32]))


def test_a_hello_sent_back_to_its_sender_is_refused() -> None:
    with pytest.raises(Refused, match="lives there now"):
        Listening(DIALLER).take(frame(Dialling(DIALLER, ENDPOINT).hello()))


def test_a_dialler_is_turned_away_where_another_actor_lives_now() -> None:
    dialling, listening = Dialling(DIALLER, ENDPOINT), Listening(replace(LISTENER, actor="follower:2"))
    with pytest.raises(Refused) as refused:
        listening.take(frame(dialling.hello()))
    with pytest.raises(Unreachable, match="follower:2 lives there now"):
        dialling.take(frame(refused.value.answer))


def test_a_dialler_refuses_a_listener_of_another_name_that_holds_the_key() -> None:
    dialling = Dialling(DIALLER, ENDPOINT)
    hello = frame(dialling.hello())
    welcome = msgspec.msgpack.encode(("follower:2", "enam", "p2", bytes(32)))
    payload = mac(KEY, b"listener", hello, welcome) + welcome
    with pytest.raises(Unreachable, match="follower:2 lives there now"):
        dialling.take(Frame(WELCOME, hello.number, memoryview(payload)))


def replace_actor(actor: str) -> Endpoint:
    return Endpoint(ENDPOINT.host, ENDPOINT.port, actor, ENDPOINT.region)


def with_version(data: bytes, version: int) -> bytes:
    return data[:12] + bytes([version]) + data[13:]


def test_another_version_is_refused_by_either_side_with_words() -> None:
    dialling = Dialling(DIALLER, ENDPOINT)
    with pytest.raises(Refused) as refused:
        Listening(LISTENER).take(frame(with_version(dialling.hello(), VERSION + 1)))
    with pytest.raises(Unreachable, match="version"):
        dialling.take(frame(refused.value.answer))
    welcome = answer(Listening(LISTENER), dialling.hello())
    with pytest.raises(Unreachable, match="version"):
        dialling.take(frame(with_version(welcome, VERSION + 1)))


def test_a_change_of_any_byte_of_the_hello_is_noticed() -> None:
    dialling = Dialling(DIALLER, ENDPOINT)
    hello = dialling.hello()
    for at in range(4, len(hello)):
        changed = hello[:at] + bytes([hello[at] ^ 1]) + hello[at + 1 :]
        with pytest.raises((Error, Refused, Violation)):
            dialling.take(frame(answer(Listening(LISTENER), changed)))


def test_a_change_of_any_byte_of_the_welcome_or_proof_is_noticed() -> None:
    dialling, listening = Dialling(DIALLER, ENDPOINT), Listening(LISTENER)
    welcome = answer(listening, dialling.hello())
    for at in range(4, len(welcome)):
        with pytest.raises((Error, Violation)):
            dialling.take(frame(welcome[:at] + bytes([welcome[at] ^ 1]) + welcome[at + 1 :]))
    _, proof = dialling.take(frame(welcome))
    for at in range(4, len(proof)):
        with pytest.raises((Refused, Violation)):
            listening.take(frame(proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :]))


@given(st.integers(0, 255), st.integers(0, 2**64 - 1), st.binary(max_size=200))
def test_garbage_is_never_accepted(kind: int, number: int, payload: bytes) -> None:
    for version in (number, frame(Dialling(DIALLER, ENDPOINT).hello()).number):
        garbage = Frame(kind, version, memoryview(payload))
        with pytest.raises((Refused, Violation)):
            Listening(LISTENER).take(garbage)
        with pytest.raises((Error, Violation)):
            Dialling(DIALLER, ENDPOINT).take(garbage)
        listening = Listening(LISTENER)
        answer(listening, Dialling(DIALLER, ENDPOINT).hello())
        with pytest.raises((Refused, Violation)):
            listening.take(garbage)


def test_a_welcome_before_its_time_is_a_violation() -> None:
    dialling, listening = Dialling(DIALLER, ENDPOINT), Listening(LISTENER)
    welcome = frame(answer(listening, dialling.hello()))
    assert welcome.kind == WELCOME
    with pytest.raises(Violation):
        Listening(LISTENER).take(welcome)


def test_keys_differ_by_token_and_by_system() -> None:
    keys = {derive_key(token, system) for token in (b"a", b"b") for system in ("s", "t")}
    assert len(keys) == 4
    assert all(len(key) == 32 for key in keys)


def test_hkdf_gives_the_bytes_of_the_rfcs_first_case() -> None:
    """RFC 5869, appendix A.1: its first 32 bytes."""
    found = hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)))
    assert found.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


def test_an_identity_does_not_show_its_key() -> None:
    assert KEY.hex() not in repr(LISTENER)
    assert repr(KEY) not in repr(LISTENER)
    assert Identity("a", "r", KEY).process != Identity("a", "r", KEY).process


def test_hellos_with_the_longest_names_fit_their_limit() -> None:
    name = "replica:" + "é" * limits.NAME_CHARACTERS + ":" + "r" * limits.NAME_CHARACTERS
    dialling = Dialling(replace(DIALLER, actor=name), replace_actor(name))
    listening = Listening(replace(LISTENER, actor=name))
    welcome = answer(listening, dialling.hello())
    assert dialling.take(frame(welcome))[0].actor == name
