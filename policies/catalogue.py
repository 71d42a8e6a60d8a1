"""What the registry knows of each database, and what routers are told of it."""

from __future__ import annotations

import msgspec

from raylite.policies.freshness import Health
from raylite.policies.quorum import Members
from raylite.policies.rebuilt import Rebuilt


class Fork(msgspec.Struct, frozen=True):
    """What a fork began as. parent: that database's name then; bookmark: its entry, as text; time_us: in that entry."""

    parent: str
    bookmark: str
    time_us: int


class DatabaseEntry(msgspec.Struct, frozen=True):
    """One database in the catalogue.

    members: first members of its relay, None while it is being made; region: of its primary; replicas: regions
    that have one; replication: "auto", "disabled" or a comma-separated list of regions; created_us: wall clock; fork:
    of what it is one, if it is; asleep: it has no actors until somebody asks for it; rebuilt: as what it was rebuilt
    last from cold storage alone, if it was.
    """

    database_id: str
    name: str
    members: Members | None
    region: str
    replicas: tuple[str, ...]
    replication: str
    created_us: int
    fork: Fork | None = None
    asleep: bool = False
    rebuilt: Rebuilt | None = None


class Placement(msgspec.Struct, frozen=True):
    """Where one actor that answers queries runs."""

    actor: str
    region: str


class RouteEntry(msgspec.Struct, frozen=True):
    """How to reach one database."""

    database_id: str
    name: str
    primary: Placement
    replicas: tuple[Placement, ...]


class RoutingTable(msgspec.Struct, frozen=True):
    """All routes; a higher version replaces a lower one.

    policy: a pickled routing policy, b"" for the default; health: of actors that were asked how they are, by name.
    """

    version: int
    routes: dict[str, RouteEntry]
    policy: bytes = b""
    health: dict[str, Health] = {}
