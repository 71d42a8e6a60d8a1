"""What a router needs of the world: someone who carries a query, and someone who knows who serves it."""

from __future__ import annotations

from typing import Protocol

import msgspec

from raylite.policies.query import Answer, Failure, Query
from raylite.policies.routing import Candidate, RoutingPolicy
from raylite.policies.transfer import TransferReply, TransferRequest


class Route(msgspec.Struct, frozen=True):
    """How to reach one database. candidates: every copy, the primary too."""

    database_id: str
    name: str
    primary: str
    candidates: tuple[Candidate, ...]
    policy: RoutingPolicy

    def nearest(self, region: str) -> list[str]:
        """The copies to ask in turn, as the policy ranks them for that region; the primary is among them."""
        copies = {one.actor for one in self.candidates}
        ranked = self.policy.rank(region, self.candidates)
        nearest = [one.actor for one in ranked if one.actor in copies]
        return nearest if self.primary in nearest else [*nearest, self.primary]


class Transport(Protocol):
    """Carries one query to one actor."""

    async def ask(self, actor: str, query: Query, seconds: float) -> Answer | Failure:
        """What the actor answered, its errors as `Failure`.

        Raises `NoReply` if the query may have been received, any other `Error` only if it certainly was not.
        """
        ...

    async def request(self, actor: str, request: TransferRequest, seconds: float) -> TransferReply | None:
        """What the actor answered to one step of an export or import; raises its error, or as `ask`."""
        ...


class Directory(Protocol):
    """Knows who serves which database."""

    async def route(self, name: str) -> Route:
        """The newest route known, at once if there is one; else raises `DatabaseNotFound` or `Unreachable`."""
        ...

    async def missed(self, name: str) -> None:
        """Nobody has answered for this database's primary for a while: tell the registry. Does not raise."""
        ...


class Reply(msgspec.Struct, frozen=True):
    """What was answered. attempts: how often the query was sent; round_trip_ms: until then, all attempts included."""

    answer: Answer | Failure
    attempts: int
    round_trip_ms: float
