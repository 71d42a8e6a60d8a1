"""How two processes greet each other: who they are, and that both hold this system's key. No I/O.

    dialler  HELLO    who I am, whom I expect here, 32 random bytes
    listener WELCOME  mac, who I am, 32 random bytes     (or REFUSAL, a reason in words)
    dialler  PROOF    mac

Each mac is HMAC-SHA256, under the system's key, of the sender's side and both greetings whole. The random bytes make
each good for one connection, the side makes it useless when sent back, and the names bind it to these two actors.
The frame's number says protocol and version, so any version can refuse any other. What follows the hello is
not covered by a mac: against somebody on the path who changes bytes, use TLS.
"""

from __future__ import annotations

import hmac
import secrets
import struct
from dataclasses import dataclass, field
from typing import Final

import msgspec

from raylite.actors.stream_codec import HELLO, PROOF, REFUSAL, WELCOME, Frame, Violation, append_frame
from raylite.policies.errors import Error, Unauthorized, Unreachable

VERSION: Final = 1
_PROTOCOL: Final = int.from_bytes(b"raylite", "big")
_NUMBER: Final = _PROTOCOL << 8 | VERSION
_MAC_BYTES: Final = 32
_NONCE_BYTES: Final = 32


def derive_key(token: bytes, system_id: str) -> bytes:
    """This system's 32-byte key: HKDF-SHA256 (RFC 5869) of the cluster's token, salted with the system's id."""
    return hkdf(token, system_id.encode(), b"raylite stream")


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """The first 32 bytes of HKDF-SHA256 (RFC 5869)."""
    return hmac.digest(hmac.digest(salt, secret, "sha256"), info + b"\x01", "sha256")


def new_process_id() -> str:
    """A random name for this incarnation of a process, 16 hex digits."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this process is. key: from `derive_key`; process: one incarnation of it."""

    actor: str
    region: str
    key: bytes = field(repr=False)
    process: str = field(default_factory=new_process_id)


class Peer(msgspec.Struct, frozen=True):
    """Who is at the other end, proven by the hello."""

    actor: str
    region: str
    process: str


class Endpoint(msgspec.Struct, frozen=True):
    """Where an actor listens: IP address or name, port, the actor's name and region."""

    host: str
    port: int
    actor: str
    region: str

    def __str__(self) -> str:
        return f"{self.actor} at {self.host}:{self.port}"


class _Greeting(msgspec.Struct, frozen=True, array_like=True):
    """expects: the name that a dialler expects to find, "" from a listener."""

    actor: str
    region: str
    process: str
    nonce: bytes
    expects: str = ""

    def peer(self) -> Peer:
        return Peer(self.actor, self.region, self.process)


_GREETING: Final = msgspec.msgpack.Decoder(_Greeting)


def _greet(identity: Identity, expects: str = "") -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return msgspec.msgpack.encode(
        _Greeting(identity.actor, identity.region, identity.process, nonce, expects)
    )


def _greeting(encoded: bytes) -> _Greeting:
    try:
        found = _GREETING.decode(encoded)
    except (ValueError, RecursionError) as error:
        raise Violation(f"a greeting that is none: {error}") from error
    if len(found.nonce) != _NONCE_BYTES:
        raise Violation(f"a greeting with {len(found.nonce)} random bytes")
    return found


def _mac(key: bytes, side: bytes, hello: bytes, welcome: bytes) -> bytes:
    sizes = struct.pack(">QII", _NUMBER, len(hello), len(welcome))
    return hmac.digest(key, b"".join((b"raylite ", side, sizes, hello, welcome)), "sha256")


def _frame(kind: int, payload: bytes) -> bytes:
    buffer = bytearray()
    append_frame(buffer, kind, _NUMBER, payload)
    return bytes(buffer)


def _version(frame: Frame) -> int:
    protocol, version = divmod(frame.number, 256)
    if protocol != _PROTOCOL:
        raise Violation("it does not speak raylite's protocol")
    return version


class Dialling:
    """The dialler's side of one hello."""

    def __init__(self, identity: Identity, endpoint: Endpoint) -> None:
        self._identity, self._endpoint = identity, endpoint
        self._hello = _greet(identity, endpoint.actor)

    def hello(self) -> bytes:
        """What the dialler sends first."""
        return _frame(HELLO, self._hello)

    def take(self, frame: Frame) -> tuple[Peer, bytes]:
        """The peer and the proof to send, for the listener's first frame.

        Raises `Unauthorized` for another key, `Unreachable` for another actor, version or a refusal, `Violation`.
        """
        version = _version(frame)
        if frame.kind == REFUSAL:
            raise self._unreachable(bytes(frame.payload).decode(errors="replace"))
        if version != VERSION:
            raise self._unreachable(f"it speaks version {version}, this process speaks {VERSION}")
        if frame.kind != WELCOME:
            raise Violation(f"a frame of kind {frame.kind} instead of a welcome")
        mac, welcome = bytes(frame.payload[:_MAC_BYTES]), bytes(frame.payload[_MAC_BYTES:])
        greeting = _greeting(welcome)
        key = self._identity.key
        if not hmac.compare_digest(mac, _mac(key, b"listener", self._hello, welcome)):
            raise Unauthorized(str(self._endpoint))
        if greeting.actor != self._endpoint.actor:
            raise self._unreachable(f"{greeting.actor} lives there now")
        return greeting.peer(), _frame(PROOF, _mac(key, b"dialler", self._hello, welcome))

    def _unreachable(self, reason: str) -> Error:
        return Unreachable(str(self._endpoint), reason)


class Refused(Exception):
    """The dialler is turned away. answer: bytes to send before the connection is closed, or none."""

    def __init__(self, reason: str, answer: bytes = b"") -> None:
        super().__init__(reason)
        self.answer = answer


class Listening:
    """The listener's side of one hello."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._hello = b""
        self._welcome = b""
        self._peer = Peer("", "", "")

    def take(self, frame: Frame) -> bytes | Peer:
        """Bytes to send while it goes on, the peer once it has proven itself; raises `Refused`, `Violation`."""
        return self._check(frame) if self._hello else self._answer(frame)

    def _answer(self, frame: Frame) -> bytes:
        version = _version(frame)
        if version != VERSION:
            raise _refusal(f"it speaks version {VERSION}, this process speaks {version}")
        if frame.kind != HELLO:
            raise Violation(f"a frame of kind {frame.kind} instead of a hello")
        hello = bytes(frame.payload)
        greeting = _greeting(hello)
        if greeting.expects != self._identity.actor:
            raise _refusal(f"{self._identity.actor} lives there now")
        self._hello, self._welcome, self._peer = hello, _greet(self._identity), greeting.peer()
        return _frame(WELCOME, self._own_mac(b"listener") + self._welcome)

    def _check(self, frame: Frame) -> Peer:
        if frame.kind != PROOF or frame.number != _NUMBER:
            raise Violation(f"a frame of kind {frame.kind} instead of a proof")
        if not hmac.compare_digest(bytes(frame.payload), self._own_mac(b"dialler")):
            raise Refused(f"{self._peer.actor} holds another key")
        return self._peer

    def _own_mac(self, side: bytes) -> bytes:
        return _mac(self._identity.key, side, self._hello, self._welcome)


def _refusal(reason: str) -> Refused:
    return Refused(reason, _frame(REFUSAL, reason.encode()))
