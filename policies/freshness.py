"""How old a replica's data is, told from bookmarks and one clock.

Whoever asks all copies how they are notes when the primary had confirmed what. A replica that does not show an entry
which the primary had confirmed ten seconds ago has data at least ten seconds old, whatever it believes itself.
"""

from __future__ import annotations

import msgspec

from raylite.policies.limits import HEALTH_SAMPLES

_STEPS = (1, 2, 5)


class Health(msgspec.Struct, frozen=True):
    """How a copy was when it was last asked.

    alive: it answered; lag_ms: its data is about this old, 0 if it is not known to lack anything, None if unknown.
    """

    alive: bool = True
    lag_ms: float | None = None


class Trail:
    """What the primary of one database was seen to have confirmed: bookmarks as text, and when, in seconds.

    Invariant: both rise. When there are too many samples every second one is dropped, so that a long trail is kept
    in bounded memory; an age that is told from it may be too low then, never too high.
    """

    def __init__(self) -> None:
        self._samples: list[tuple[float, str]] = []

    def saw(self, bookmark: str, now: float) -> None:
        """The primary has confirmed this entry by now."""
        if self._samples and bookmark <= self._samples[-1][1]:
            return
        if len(self._samples) >= HEALTH_SAMPLES:
            del self._samples[1::2]
        self._samples.append((now, bookmark))

    def lag_ms(self, bookmark: str, now: float) -> float:
        """How long ago the primary was first seen beyond this entry: 0 if less than a second, else rounded up.

        To 1, 2 or 5 seconds, 10, 20, and so on: routers are told of a change and not of every second.
        """
        beyond = next((seen for seen, confirmed in self._samples if confirmed > bookmark), now)
        return 1000 * rounded_up(now - beyond) if now - beyond >= 1 else 0.0


def rounded_up(seconds: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, 50, … that is not less."""
    unit = 1
    while seconds > _STEPS[-1] * unit:
        unit *= 10
    return float(next(step * unit for step in _STEPS if seconds <= step * unit))
