"""What actors need of Ray, as ports: only `actors.handles` knows how it is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from raylite.policies.catalogue import DatabaseEntry, RoutingTable
from raylite.policies.quorum import Members
from raylite.policies.status import ActorStatus
from raylite.policies.system import Node, PrimaryConfig, Site


class Whereabouts(msgspec.Struct, frozen=True):
    """What Ray says of an actor. node: where it is, or is to be, "" if nowhere; starting: it does not run yet."""

    node: str = ""
    starting: bool = False


class Survey(msgspec.Struct, frozen=True):
    """Where followers are, or were last. problems: disks that could not be used, and why, in words."""

    sites: tuple[Site, ...]
    problems: tuple[str, ...] = ()


class Cluster(Protocol):
    """Starting and ending actors by name. Every method ends in time, or raises an `Error`."""

    async def start_primary(self, config: PrimaryConfig, avoid: str = "", *, strictly: bool = False) -> None:
        """Start a primary in its region, elsewhere if there is no node; nothing if one of that name lives.

        avoid: a node that is better not used again; `strictly`: better another region than that node.
        """
        ...

    async def start_replica(
        self, entry: DatabaseEntry, region: str, avoid: str = "", *, strictly: bool = False
    ) -> None:
        """Start a replica, as `start_primary`."""
        ...

    async def wait_for(self, actor: str, seconds: float) -> None:
        """Wait until this actor can be asked, a primary until it has opened its database; raises `Unreachable`."""
        ...

    async def kill(self, actor: str) -> None:
        """End the actor of this name for good, if there is one; its name is free then."""
        ...

    async def whereabouts(self, actor: str) -> Whereabouts:
        """What Ray says of the actor of this name now."""
        ...

    async def status(self, actor: str) -> ActorStatus:
        """How this actor is; raises `Unreachable` if it does not say within two leases."""
        ...

    async def settle(self, actor: str) -> bool:
        """Have this primary give its reign up if nobody needs it: whether it did. Raises `Unreachable`."""
        ...

    async def publish(self, table: RoutingTable) -> None:
        """Hand a new routing table to the routing actor, which is started if there is none."""
        ...

    async def published(self) -> int:
        """The version of the table that the routing actor was handed last."""
        ...

    async def replace_routing(self) -> None:
        """End the routing actor and start another one, on another node if there is one."""
        ...

    async def nodes(self) -> list[Node]:
        """The nodes that are alive."""
        ...

    async def survey(self, sites: Sequence[Site], *, spare: bool) -> Survey:
        """Look at the disks of all nodes, start the followers that are not where `sites` say, and tell where all are.

        spare: bring their number up to five without counting on those that are absent.
        """
        ...

    async def note_registry_members(self, members: Members) -> None:
        """Keep the members of the registry's own database where whoever starts it looks first."""
        ...

    def directory(self, database_id: str, role: str) -> str:
        """Where a primary or replica keeps its files, within its node's data directory."""
        ...


class Statuses(Protocol):
    """What the routing actor needs of the cluster."""

    async def status(self, actor: str) -> ActorStatus:
        """How this actor is; raises `Unreachable` if it does not say within a few seconds."""
        ...

    async def report_lost(self, actor: str) -> None:
        """Tell the registry of a replica that has been silent for long; does not raise."""
        ...

    async def keep_policy(self, policy: bytes) -> None:
        """Keep a pickled routing policy where the next process of this actor finds it; raises `Unreachable`."""
        ...

    async def kept_policy(self) -> bytes:
        """What was kept last, b"" for none; raises `Unreachable`."""
        ...

    def crash(self, error: BaseException) -> None:
        """End this process at once because of a fault; it is restarted."""
        ...
