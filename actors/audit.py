"""Who has done what with which database: one line of JSON for every administrative act, on logger `raylite.audit`."""

from __future__ import annotations

import logging
from typing import Final

import msgspec

DONE: Final = "done"

_LOGGER: Final = logging.getLogger("raylite.audit")


class Act(msgspec.Struct, frozen=True):
    """One act. who: name of the token's holder, "" for somebody in the Ray cluster, or unknown; database: as it was
    named, or for acts about tokens the token's name; outcome: done, or why not."""

    who: str
    what: str
    database: str
    outcome: str


def show() -> None:
    """From here on this process shows the lines on standard error, which Ray keeps with the actor's log."""
    _LOGGER.setLevel(logging.INFO)
    if not _LOGGER.handlers:
        _LOGGER.addHandler(logging.StreamHandler())


def write(act: Act) -> None:
    """Writes the line, at level INFO."""
    _LOGGER.info(msgspec.json.encode(act).decode())
