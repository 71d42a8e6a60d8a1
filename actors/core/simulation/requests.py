"""A query on its way: what actors answer it with, and who is told."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from raylite.actors.core.simulation.history import Operation
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Error


class Answer(msgspec.Struct, frozen=True):
    """What page 1 and another page had, and the entry that the answer may have seen.

    forgotten: a write was not run, for nobody could say if another attempt was.
    """

    seen: int
    value: int
    bookmark: Bookmark
    by_primary: bool
    forgotten: bool = False


Reply = Callable[[Answer | Error], None]


class Request(msgspec.Struct, frozen=True):
    """One attempt of an operation. bookmark: newest that the session has seen; seconds: how long it waits.

    since: sequence of the newest entry that was known of before the first attempt, or before one that certainly did not
    run.
    """

    operation: Operation
    bookmark: Bookmark | None
    seconds: float
    since: int
    reply: Reply
