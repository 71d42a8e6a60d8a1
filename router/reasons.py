"""What an error says of a query on its way: whether it ran, and whether to ask again."""

from __future__ import annotations

from raylite.policies.errors import (
    DatabaseNotFound,
    Error,
    Interrupted,
    LimitExceeded,
    NoQuorum,
    NotAllowed,
    NotPrimary,
    OutcomeNotKept,
    OutcomeUnknown,
    ParameterError,
    PartlyApplied,
    StatementError,
    Unreachable,
)

AGAIN = (Unreachable, NotPrimary, Interrupted)
"""Not run, and likely to be over soon: ask again until the deadline."""
A_WHILE = (NoQuorum, DatabaseNotFound)
"""Not run: over soon if followers start again, or a routing table is on its way; else the caller should know."""
LOST = (Unreachable, NotPrimary, OutcomeUnknown)
"""Not worth telling a caller whose time is up, but as the reason."""

OF_THE_QUERY = (StatementError, NotAllowed, LimitExceeded, ParameterError, PartlyApplied, OutcomeNotKept)
"""What a primary says of a query that it ran, and says again when it is repeated."""


def text(error: Error) -> str:
    """An error in a few words, as the reason of another one."""
    match error:
        case Unreachable():
            return f"{error.what}: {error.reason}"
        case NotPrimary():
            return f"its primary of epoch {error.epoch} reigns no more, and no other answers"
        case OutcomeUnknown():
            return f"{error.database}: {error.reason}"
        case _:
            return str(error)
