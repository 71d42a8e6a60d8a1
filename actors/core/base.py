"""Where a log begins that does not hold its database's first entries, and what is to be known of these."""

from __future__ import annotations

import msgspec

from raylite.policies.bookmark import Bookmark
from raylite.policies.quorum import Members


class Base(msgspec.Struct, frozen=True, array_like=True):
    """A confirmed entry that a log follows, and what the log up to there says.

    members: the newest in it; epochs: (epoch, sequence of its first entry), ascending; time_us: in that entry.
    """

    place: Bookmark
    members: Members
    epochs: tuple[tuple[int, int], ...] = ()
    time_us: int = 0
