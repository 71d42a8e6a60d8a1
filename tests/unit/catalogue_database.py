"""Where a catalogue is kept in tests: one SQLite file, without relay."""

from __future__ import annotations

from pathlib import Path

from raylite.actors.catalogue import Catalogue
from raylite.actors.storage.engine import Engine
from raylite.actors.storage.image import EMPTY
from raylite.actors.stream import to_failure
from raylite.policies.errors import Error
from raylite.policies.query import Answer, Failure, Query


class CatalogueDatabase:
    """Where the catalogue is kept. refusal: why nothing may be written now."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(EMPTY)
        self.engine = Engine.writer(str(path))
        self.refusal: Error | None = None
        self.catalogue = Catalogue("registry", self._ask)

    async def _ask(self, query: Query) -> Answer | Failure:
        found = self.engine.execute(query, 5.0, self.refusal)
        if found.error is not None:
            return to_failure(found.error)
        return Answer(found.results, "", "", "", True, found.wrote)
