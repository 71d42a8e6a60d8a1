"""What an open primary sees to beside its queries: its followers, a spare process, and drills with cold storage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from raylite.actors.drill import Drill
from raylite.actors.registrar import Registrar
from raylite.actors.rejoining import Rejoining
from raylite.actors.relay import Relay
from raylite.actors.replacing import Replacing
from raylite.actors.service import Service
from raylite.policies import limits
from raylite.policies.status import Verified

VERIFIED: Final = "raylite_cold_verified_age_seconds"
"""The metric that says how long ago a primary last compared its database with what cold storage alone gives."""


class Duties:
    """Those of one reign, from its opening on."""

    def __init__(self, service: Service, registrar: Registrar, relay: Relay) -> None:
        self._service = service
        self._drill: Drill | None = None
        self.replacing = Replacing(relay, registrar, service.ask_once)
        service.hold(Rejoining(relay).run())
        service.hold(self.replacing.run())
        service.hold(service.around.keep_spare(service.place("spare")))

    def begin_drills(self, verify: Callable[[], Awaitable[Verified]], directory: Path) -> None:
        """There is cold storage, which `verify` compares the database with. directory: the primary's."""
        self._drill = Drill(verify, directory / "drill", time.time)
        self._service.hold(self._drill.run())
        self._service.hold(self._export(self._drill))

    @property
    def verified_seconds(self) -> float | None:
        """See `ActorStatus`."""
        return self._drill.age_seconds if self._drill else None

    @property
    def problems(self) -> list[str]:
        """In words, "" for none."""
        return [self.replacing.problem, self._drill.problem if self._drill else ""]

    async def _export(self, drill: Drill) -> None:
        while True:
            if drill.age_seconds is not None:
                self._service.around.gauge(VERIFIED, drill.age_seconds, actor=self._service.name)
            await asyncio.sleep(limits.METRICS_SECONDS)
