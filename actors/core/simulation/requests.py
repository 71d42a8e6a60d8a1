"""A query on its way: what actors answer it with, and who is told."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from raylite.actors.core.simulation.history import Operation
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Error


class Answer(msgspec.Struct, frozen=True):
    """What page 1 and another page had, and the entry that the answer may have seen."""

    seen: int
    value: int
    bookmark: Bookmark
    by_primary: bool


Reply = Callable[[Answer | Error], None]


class Request(msgspec.Struct, frozen=True):
    """One attempt of an operation. bookmark: newest that the session has seen; seconds: how long it waits."""

    operation: Operation
    bookmark: Bookmark | None
    seconds: float
    reply: Reply
