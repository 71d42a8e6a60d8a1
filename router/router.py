"""Asks for one database from one region, and remembers which texts read and which write."""

from __future__ import annotations

from raylite.policies.query import Query
from raylite.policies.transfer import TransferReply, TransferRequest
from raylite.router.errand import Errand
from raylite.router.ports import Directory, Reply, Route, Transport
from raylite.router.texts import Learned

__all__ = ["Directory", "Reply", "Route", "Router", "Transport"]


class Router:
    """Sends the queries for one database, each to whoever should answer it. Belongs to one event loop."""

    def __init__(self, name: str, region: str, transport: Transport, directory: Directory) -> None:
        self.name, self.region = name, region
        self._transport, self._directory = transport, directory
        self._learned = Learned()

    async def ask(self, query: Query) -> Reply:
        """What was answered within `query.seconds`, errors as `Failure`; raises an `Error` if nobody answered.

        `OutcomeUnknown` means that a write may have taken effect, and so does cancelling this; any other error of
        the tree that it did not. The query is sent once, unless it certainly did not run or certainly only reads.
        """
        return await Errand(
            query, self.name, self.region, self._transport, self._directory, self._learned
        ).run()

    async def copies(self) -> list[str]:
        """The actors of all copies that may be asked now, nearest first."""
        return (await self._directory.route(self.name)).nearest(self.region)

    async def primary(self) -> str:
        """The primary's actor."""
        return (await self._directory.route(self.name)).primary

    async def request(self, actor: str, request: TransferRequest, seconds: float) -> TransferReply | None:
        """One step of an export or import, sent once; see `Transport.request`."""
        return await self._transport.request(actor, request, seconds)
