"""How long to wait before trying again."""

from __future__ import annotations

import math

import msgspec

_DOUBLINGS = 32


class Backoff(msgspec.Struct, frozen=True):
    """Waits that double from `first_seconds` to at most `most_seconds`, each spread by half.

    The spread keeps peers that failed together from trying again together.
    """

    first_seconds: float
    most_seconds: float

    def __post_init__(self) -> None:
        if not 0 < self.first_seconds <= self.most_seconds:
            raise ValueError(f"waits from {self.first_seconds} to {self.most_seconds} seconds do not grow")

    def delay(self, attempt: int, jitter: float) -> float:
        """Seconds to wait after failure number `attempt` (from 0). jitter: a random number from 0 to 1."""
        if attempt < 0 or not 0 <= jitter <= 1:
            raise ValueError(f"attempt {attempt} with jitter {jitter}")
        # Without a bound on the exponent a peer that is gone for weeks would overflow the float.
        full = min(self.most_seconds, math.ldexp(self.first_seconds, min(attempt, _DOUBLINGS)))
        return full * (1 + jitter) / 2
