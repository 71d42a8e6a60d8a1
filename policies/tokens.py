"""Tokens of the HTTP API: who may do what with which database. Only a digest of a token is ever stored.

A token's text is `raylite_`, its id (16 hex digits), `_` and its secret (64 hex digits). The secret is random, so one
SHA-256 of it is as good as any slower hash.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
from typing import Final

import msgspec

from raylite.policies.errors import ParameterError

ID_BYTES: Final = 8
SECRET_BYTES: Final = 32

_TEXT: Final = re.compile(rf"raylite_([0-9a-f]{{{2 * ID_BYTES}}})_([0-9a-f]{{{2 * SECRET_BYTES}}})")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


class Scope(enum.StrEnum):
    """What may be done, or is asked for; each includes those before it.

    READ: look at databases. WRITE: query them; any query, for its text may write, and that is known only when it is
    compiled. ADMIN: make, change, restore, fill and delete them.
    """

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def includes(self, other: Scope) -> bool:
        """Whether whoever has this may do what needs the other."""
        order = list(Scope)
        return order.index(self) >= order.index(other)


class Token(msgspec.Struct, frozen=True):
    """One token as it is stored.

    name: of its holder, unique; digest: of its secret; database_id: of the only database that it is for, "" for all;
    created_us, expires_us: wall clock, microseconds since 1970, 0 for never.
    """

    token_id: str
    name: str
    digest: bytes
    scope: Scope
    database_id: str
    created_us: int
    expires_us: int = 0

    def proves(self, secret: str, now_us: int) -> bool:
        """Whether the secret is this token's, which has not expired; takes as long for any secret of that length."""
        same = hmac.compare_digest(self.digest, digest_of(secret))
        return same and not 0 < self.expires_us <= now_us


def text_of(token_id: str, secret: str) -> str:
    """What its holder sends."""
    return f"raylite_{token_id}_{secret}"


def parts_of(text: str) -> tuple[str, str] | None:
    """Id and secret of what a caller sent, None if it is no token's text."""
    found = _TEXT.fullmatch(text)
    return None if found is None else (found[1], found[2])


def digest_of(secret: str) -> bytes:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def token_name(text: str) -> str:
    """`text`, if a token may have that name; else raises `ParameterError`."""
    if _NAME.fullmatch(text) is None:
        raise ParameterError(
            f"{text[:80]!r} is no name of a token: it has 1 to 64 letters, digits, '_', '.', '@' and '-', with a "
            "letter or digit in front"
        )
    return text
