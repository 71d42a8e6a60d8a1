"""What readers of a replica are certain to see, and waiting until they see enough."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from raylite.actors.core.replica import Publish
from raylite.actors.service import wall_us
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark


class Shown:
    """`place` is the newest entry that readers are certain to see. lag_ms: its age when it was shown, if known."""

    def __init__(self, place: Bookmark) -> None:
        self.place = place
        self.lag_ms: float | None = None
        self._progress = asyncio.Condition()

    async def show(self, publish: Publish) -> None:
        """Readers see everything up to this entry."""
        async with self._progress:
            if publish.place.sequence > self.place.sequence:
                self.place = publish.place
            self._progress.notify_all()
        if publish.confirmed_us:
            self.lag_ms = max(0, wall_us() - publish.confirmed_us) / 1000

    async def reaches(self, bookmark: Bookmark, serves: Callable[[], bool]) -> bool:
        """Whether readers see the bookmark's entry, and the copy serves, within a while."""
        try:
            async with asyncio.timeout(limits.BOOKMARK_WAIT_SECONDS), self._progress:
                await self._progress.wait_for(lambda: self._covers(bookmark) and serves())
        except TimeoutError:
            return False
        return True

    def _covers(self, bookmark: Bookmark) -> bool:
        return (bookmark.epoch, bookmark.sequence) <= (self.place.epoch, self.place.sequence)
