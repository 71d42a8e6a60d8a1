"""How databases are named on Cloudflare's routes: ids of 32 hex digits have the form of UUIDs there."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from raylite.policies.errors import InvalidName, ParameterError
from raylite.policies.names import database_name

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ID: Final = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
_CUTS: Final = (0, 8, 12, 16, 20, 32)


def uuid_of(database_id: str) -> str:
    """The id as these routes show it."""
    return "-".join(database_id[begin:end] for begin, end in pairwise(_CUTS))


def plain_name(text: str) -> str:
    """What a caller named: an id if it has the form of one, with or without dashes, else a name."""
    return text.replace("-", "").lower() if _is_id(text) else text


def new_name(text: str) -> str:
    """`text`, if a database may be made here with that name; raises `ParameterError`, for what looks like an id too."""
    if _is_id(text):
        raise ParameterError(f"{text!r} would be taken for an id of a database")
    try:
        return database_name(text)
    except InvalidName as error:
        raise ParameterError(str(error).removesuffix(".")) from error


def _is_id(text: str) -> bool:
    return bool(_UUID.fullmatch(text) or _ID.fullmatch(text))
