"""How far a reign's log is confirmed."""

from __future__ import annotations

from raylite.actors.core.voters import Voters
from raylite.actors.core.window import Window
from raylite.policies.bookmark import Bookmark


class Confirmation:
    """What is confirmed: everything below `ordinal`, which ends at `place`.

    Before the reign's first confirmation `place` is what was known to be confirmed before the reign.
    Invariants: an ordinal counts as confirmed only with a quorum of every set of members, and only from the first
    entry of the own epoch on; `place` is the place of a whole entry and never falls.
    agreed_at: when a quorum last got further, if only within an entry.
    """

    def __init__(self, window: Window, voters: Voters, place: Bookmark, now: float) -> None:
        self._window, self._voters = window, voters
        self.place, self.ordinal = place, 0
        self.agreed_at = now
        self._agreed = 0
        self._own_from: int | None = None

    def begin(self) -> None:
        """The next piece in the window is of the own epoch; once it has begun, this changes nothing."""
        if self._own_from is None:
            self._own_from = self._window.end

    def advance(self, now: float) -> bool:
        """Whether more is confirmed, now that followers have acknowledged more."""
        agreed = self._voters.agreed_ordinal()
        if agreed > self._agreed:
            self._agreed, self.agreed_at = agreed, now
        ordinal = self._window.whole(max(agreed, self._window.first))
        if ordinal <= self.ordinal or not self._is_own(ordinal):
            return False
        self.place, self.ordinal = self._window.place(ordinal), ordinal
        return True

    @property
    def reigns(self) -> bool:
        """Whether an entry of the own epoch is confirmed."""
        return self._is_own(self.ordinal)

    @property
    def unconfirmed(self) -> int:
        """How many pieces wait for confirmation."""
        return self._window.end - self.ordinal

    def _is_own(self, ordinal: int) -> bool:
        return self._own_from is not None and ordinal > self._own_from
