"""Earlier states of its database that a replica builds on its own node, from cold storage alone.

So many readers of one state need not all ask the primary. Only what is confirmed comes to cold storage, so what is
found there under a bookmark is that state; where it is not, the primary judges.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from raylite.actors.cold.boot import open_archive
from raylite.actors.cold.past import Past, execute
from raylite.actors.service import boottime
from raylite.actors.storage.engine import Execution
from raylite.actors.storage.files import RealFiles
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import BookmarkError, Corrupt, ForeignDirectory, StorageFull, Unreachable
from raylite.policies.query import Query
from raylite.policies.system import Settings

_PRIMARY_JUDGES = (BookmarkError, Corrupt, ForeignDirectory, StorageFull, Unreachable)


class ReplicaPast:
    """That of one replica. directory: its own. Each state is built once, however many queries ask for it."""

    def __init__(self, settings: Settings, database_id: str, directory: Path) -> None:
        self._settings, self._database_id = settings, database_id
        self._past = Past(directory / "past", RealFiles(), time.time)
        self._building = asyncio.Lock()

    async def read(self, query: Query, deadline: float) -> tuple[Execution, Bookmark] | None:
        """What the query finds at `query.at`; None if this node cannot tell, or the query is not read-only."""
        goal = Bookmark.parse(query.at)
        try:
            async with asyncio.timeout(deadline - boottime()), self._building:
                path = await asyncio.to_thread(self._file, goal)
        except (TimeoutError, *_PRIMARY_JUDGES):
            return None
        ran = await asyncio.to_thread(lambda: execute(path, query, deadline - boottime()))
        return None if ran.forward else (ran, goal)

    def _file(self, goal: Bookmark) -> Path:
        settings = self._settings
        return self._past.file(open_archive(settings.cold, settings.system_id, self._database_id), goal)
