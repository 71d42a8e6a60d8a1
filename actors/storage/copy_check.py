"""Reads a copy of a database whole, so that copies can be compared."""

from __future__ import annotations

from raylite.actors.storage.engine import Engine
from raylite.policies.bookmark import Bookmark
from raylite.policies.status import CopyCheck


def checked(engine: Engine, actor: str, region: str, place: Bookmark) -> CopyCheck:
    """What this copy is at `place`, which the caller knows to be its end. Reads every page."""
    pages, digest = engine.digest()
    return CopyCheck(actor, region, str(place), pages, digest, tuple(engine.integrity_check()))
