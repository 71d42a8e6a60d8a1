"""What every process of one raylite system is told at its start."""

from __future__ import annotations

import msgspec

from raylite.policies.quorum import Members

RECORD_VERSION = 1


class SystemRecord(msgspec.Struct, frozen=True):
    """Written once when a system is founded, and copied to each follower's directory.

    system_id, registry_id: random ids; registry_members: the first members of the registry's database;
    secret: for a cluster without a Ray token, else "".
    """

    version: int
    system_id: str
    registry_id: str
    registry_members: Members
    secret: str = ""


class Settings(msgspec.Struct, frozen=True):
    """How the processes of a system run.

    data_dir: absolute, the same on every node; regions: name -> (latitude, longitude) beyond the built-in ones;
    wan: whether messages between regions are delayed by realistic round trips; key: of the stream's HMAC.
    """

    system_id: str
    data_dir: str
    key: bytes
    regions: dict[str, tuple[float, float]]
    wan: bool = False


def follower_name(index: int) -> str:
    """The actor name of a durability follower."""
    return f"follower:{index}"


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
