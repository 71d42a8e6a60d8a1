"""Everybody who should live, and how many nodes may be lost."""

from __future__ import annotations

from collections.abc import Sequence

from raylite.actors.holders import Dial, holders
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.placement import tolerated_nodes
from raylite.policies.quorum import Members
from raylite.policies.status import Overview
from raylite.policies.system import REGISTRY, Site, primary_name, replica_name


async def overview_of(
    entries: Sequence[DatabaseEntry],
    followers: Sequence[Site],
    present: Sequence[Site],
    registry: tuple[str, Members],
    dial: Dial,
) -> Overview:
    """That of a system. followers: all; present: those on nodes that live; registry: its database's id, and members."""
    actors = [REGISTRY, *(site.follower for site in followers)]
    awake, asleep = [one for one in entries if not one.asleep], [one for one in entries if one.asleep]
    for entry in awake:
        actors += [primary_name(entry.name), *(replica_name(entry.name, one) for one in entry.replicas)]
    databases = {entry.database_id: entry.members for entry in awake if entry.members is not None}
    held = list((await holders(dial, databases | dict([registry]))).values())
    held += [{one.follower for one in entry.members.current} for entry in asleep if entry.members]
    tolerated = {
        tolerated_nodes([site for site in present if site.follower in names], limits.FOLLOWERS)
        for names in map(frozenset, held)
    }
    return Overview(tuple(actors), min(tolerated), len(asleep))
