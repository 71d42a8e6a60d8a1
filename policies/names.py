"""Which names databases and regions may have.

Both become parts of actor names, directories and command lines, so they hold nothing that any of these reads as
syntax. Names of databases that begin with `_` are the system's own, as `_registry` is.
"""

from __future__ import annotations

import re

from raylite.policies.errors import InvalidName
from raylite.policies.limits import NAME_CHARACTERS

REGION_CHARACTERS = 63
"""Ray's own limit for the value of a node label."""

_DATABASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_REGION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")


def database_name(text: str) -> str:
    """`text`, if a user's database may have that name; else raises `InvalidName`."""
    if not 0 < len(text) <= NAME_CHARACTERS:
        raise InvalidName(text[:80], f"a database's name has 1 to {NAME_CHARACTERS} characters")
    if _DATABASE.fullmatch(text) is None:
        rule = "a database's name has letters a-z, digits, '-' and '_', with a letter or digit in front"
        raise InvalidName(text, rule)
    return text


def region_name(text: str) -> str:
    """`text`, if a region may have that name, which is the rule of Ray's node labels; else raises `InvalidName`."""
    if not 0 < len(text) <= REGION_CHARACTERS:
        raise InvalidName(text[:80], f"a region's name has 1 to {REGION_CHARACTERS} characters")
    if _REGION.fullmatch(text) is None:
        rule = (
            "a region's name has letters a-z, digits, '-', '_' and '.', with a letter or digit at both ends"
        )
        raise InvalidName(text, rule)
    return text
