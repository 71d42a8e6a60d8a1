"""Every error that raylite raises, in one tree rooted at `Error`.

Six branches say whose turn it is: the caller's fault (`Invalid`), try again or elsewhere (`Unavailable`), a part
stays (`PartlyApplied`), all stays but what it answered is gone (`OutcomeNotKept`), nobody can say (`OutcomeUnknown`),
and damage (`Corrupt`, the actor stops).
`may_have_applied` says whether a write that got this error can have taken effect.
Errors cross actors and connections: every field is positional, so they pickle, and
`encode`/`decode` carry them over a wire that has no pickle.
"""

from __future__ import annotations

from raylite.policies.errors.base import (
    Error,
    decode,
    encode,
)
from raylite.policies.errors.invalid import (
    BookmarkError,
    ConstraintError,
    DatabaseExists,
    DatabaseNotFound,
    ForeignDirectory,
    Invalid,
    InvalidName,
    LimitExceeded,
    NotAllowed,
    ParameterError,
    StatementError,
)
from raylite.policies.errors.outcome import (
    Corrupt,
    NoReply,
    OutcomeNotKept,
    OutcomeUnknown,
    PartlyApplied,
    StorageFailed,
)
from raylite.policies.errors.unavailable import (
    Interrupted,
    KeyForgotten,
    NoQuorum,
    NotPrimary,
    Overloaded,
    StorageFull,
    Unauthorized,
    Unavailable,
    Unreachable,
)

__all__ = [
    "BookmarkError",
    "ConstraintError",
    "Corrupt",
    "DatabaseExists",
    "DatabaseNotFound",
    "Error",
    "ForeignDirectory",
    "Interrupted",
    "Invalid",
    "InvalidName",
    "KeyForgotten",
    "LimitExceeded",
    "NoQuorum",
    "NoReply",
    "NotAllowed",
    "NotPrimary",
    "OutcomeNotKept",
    "OutcomeUnknown",
    "Overloaded",
    "ParameterError",
    "PartlyApplied",
    "StatementError",
    "StorageFailed",
    "StorageFull",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "decode",
    "encode",
]
