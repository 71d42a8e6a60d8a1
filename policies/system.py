"""What every process of one raylite system is told at its start."""

from __future__ import annotations

import msgspec

from raylite.policies import limits
from raylite.policies.errors import ParameterError
from raylite.policies.quorum import Members
from raylite.policies.rebuilt import Rebuilt
from raylite.policies.regions import Regions

RECORD_VERSION = 1


class Node(msgspec.Struct, frozen=True):
    """A machine of the cluster, under the id that it has while it lives. zone: within its region, "" if unknown."""

    id: str
    region: str
    zone: str = ""


class Site(msgspec.Struct, frozen=True):
    """Where a follower actor runs. zone: within its region, "" if the node has no such label."""

    follower: str
    node: str
    region: str
    zone: str = ""


class SystemRecord(msgspec.Struct, frozen=True):
    """Written once when a system is founded. secret: of a cluster that has no Ray token, 64 hex digits.

    predecessor, rebuilt: of a system that was rebuilt from the cold storage of another one: which one, and up to where
    the registry's database was; "" and None of any other.
    """

    version: int
    system_id: str
    registry_id: str
    secret: str
    predecessor: str = ""
    rebuilt: Rebuilt | None = None


class Settings(msgspec.Struct, frozen=True):
    """How the processes of a system run.

    data_dir: absolute, the same on every node but those that say otherwise (`RAYLITE_DATA`); regions: the places of
    its own regions; wan: whether messages between regions are delayed by realistic round trips; key: of the stream's
    HMAC; virtual: names of regions that share one node; empty: the nodes' labels are the regions; cold: where cold
    storage is, a folder or a URL, "" if there is none; hibernate_seconds: a database that nobody has asked for so long
    has no processes until somebody does, 0.0: it keeps them.
    """

    system_id: str
    data_dir: str
    key: bytes
    regions: Regions
    wan: bool = False
    virtual: tuple[str, ...] = ()
    cold: str = ""
    hibernate_seconds: float = limits.HIBERNATE_SECONDS


def checked_hibernation(seconds: float) -> float:
    """`Settings.hibernate_seconds` as a user gives it: zero, or at least a second. Raises `ParameterError`."""
    if seconds == 0 or 1 <= seconds < float("inf"):
        return seconds
    raise ParameterError(
        f"Databases cannot hibernate after {seconds:g} seconds: give at least 1, or 0 for never"
    )


class RegistryPlan(msgspec.Struct, frozen=True):
    """What it takes to start the registry. members: first ones of its database; sites: where followers run."""

    record: SystemRecord
    members: Members
    sites: tuple[Site, ...]
    settings: Settings


class PrimaryConfig(msgspec.Struct, frozen=True):
    """Which database, and where. members: its first ones; directory: of this primary's files, within its node's."""

    database_id: str
    database: str
    members: Members
    region: str
    directory: str


def follower_name(index: int) -> str:
    """The actor name of a durability follower."""
    return f"follower:{index}"


def follower_number(name: str) -> int:
    """The number in a durability follower's actor name."""
    return int(name.rpartition(":")[2])


def copy_directory(database_id: str, role: str) -> str:
    """Where a primary or replica keeps its files, within its node's data directory."""
    return f"databases/{database_id}/{role}"


def primary_name(database: str) -> str:
    """The actor name of a database's primary."""
    return f"primary:{database}"


def replica_name(database: str, region: str) -> str:
    """The actor name of a database's replica in one region."""
    return f"replica:{database}:{region}"


REGISTRY = "registry"
REGISTRY_DATABASE = "_registry"
ROUTING = "routing"
NAMESPACE = "raylite"
