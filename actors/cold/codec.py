"""What all objects in cold storage are made of: a checked envelope, and zstd frames of known size.

An envelope, big-endian: magic (4 bytes), version (1), zeros (3), length of the body (4), BLAKE2b of all that and of the
body (16), body. The body is MessagePack.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Final, TypeVar

import msgspec
import zstandard

from raylite.policies.errors import Corrupt

T = TypeVar("T")

VERSION: Final = 1
CHECK_BYTES: Final = 16
_FIXED: Final = struct.Struct(">4sBxxxI")
ENVELOPE_BYTES: Final = _FIXED.size + CHECK_BYTES
_LEVEL: Final = 3


def check(data: bytes | memoryview) -> bytes:
    """The checksum of these bytes that objects in cold storage carry."""
    return blake2b(data, digest_size=CHECK_BYTES).digest()


def seal(magic: bytes, body: msgspec.Struct) -> bytes:
    """An envelope with that body."""
    encoded = msgspec.msgpack.encode(body)
    fixed = _FIXED.pack(magic, VERSION, len(encoded))
    return b"".join((fixed, check(fixed + encoded), encoded))


def sealed_bytes(magic: bytes, head: bytes, where: str) -> int:
    """How long the envelope is that begins with `head`; raises `Corrupt` if none does."""
    if len(head) < ENVELOPE_BYTES:
        raise Corrupt("cold storage", where, f"{len(head)} bytes")
    found, version, length = _FIXED.unpack_from(head)
    if found != magic or version != VERSION:
        raise Corrupt("cold storage", where, f"it begins with {found!r}, version {version}")
    return ENVELOPE_BYTES + int(length)


def unseal(magic: bytes, data: bytes, kind: type[T], where: str) -> tuple[T, int]:
    """The body of the envelope at the beginning of `data`, and its length; raises `Corrupt` for any damage."""
    size = sealed_bytes(magic, data, where)
    body = data[ENVELOPE_BYTES:size]
    if len(data) < size or check(data[: _FIXED.size] + body) != data[_FIXED.size : ENVELOPE_BYTES]:
        raise Corrupt("cold storage", where, "its head does not have its checksum")
    try:
        return msgspec.msgpack.decode(body, type=kind), size
    except (ValueError, RecursionError) as error:
        raise Corrupt("cold storage", where, str(error)) from error


def unseal_all(magic: bytes, data: bytes, kind: type[T], where: str) -> T:
    """The body of an envelope that is a whole object."""
    body, size = unseal(magic, data, kind, where)
    if size != len(data):
        raise Corrupt("cold storage", where, f"{len(data)} bytes where {size} must be")
    return body


def pack(data: bytes) -> bytes:
    """A zstd frame, which tells the size of what is in it."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(data)


def unpack(frame: bytes, size: int, where: str) -> bytes:
    """What `pack` was given, `size` bytes; raises `Corrupt` if that is not in the frame.

    The size that the frame itself claims is compared before memory is taken for it.
    """
    try:
        if zstandard.frame_content_size(frame) != size:
            raise Corrupt("cold storage", where, f"a frame is not of {size} bytes")
        data = zstandard.ZstdDecompressor().decompress(frame, max_output_size=size)
    except zstandard.ZstdError as error:
        raise Corrupt("cold storage", where, str(error)) from error
    if len(data) != size:
        raise Corrupt("cold storage", where, f"{len(data)} bytes in a frame of {size}")
    return data
