"""Where a database's primary and its durability followers run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from hashlib import blake2b

import msgspec

from raylite.policies.errors import InvalidName
from raylite.policies.limits import FOLLOWERS
from raylite.policies.quorum import majority
from raylite.policies.regions import BUILT_IN, Regions


class Site(msgspec.Struct, frozen=True):
    """Where a follower actor runs. zone: within its region, "" if the node has no such label."""

    follower: str
    node: str
    region: str
    zone: str = ""


def node_of(site: Site) -> tuple[str, ...]:
    """The smallest failure domain: one machine."""
    return (site.node,)


def zone_of(site: Site) -> tuple[str, ...]:
    """The middle one. Two regions may use the same zone names."""
    return (site.region, site.zone)


def region_of(site: Site) -> tuple[str, ...]:
    """The largest one."""
    return (site.region,)


DOMAINS: tuple[Callable[[Site], tuple[str, ...]], ...] = (node_of, zone_of, region_of)
"""The failure domains, the one that fails most often first."""


def primary_region(
    hint: str | None, creator: str, with_nodes: Collection[str], regions: Regions
) -> str | None:
    """The region that a primary should be in: the hint's, else the creator's, or the nearest one that has nodes.

    Soft: None means anywhere. Raises `InvalidName` for a hint that is no region at all.
    """
    if hint is not None and hint not in with_nodes and regions.place(hint) is None:
        known = ", ".join(sorted({*BUILT_IN, *regions.own, *with_nodes}))
        raise InvalidName(hint, f"a location hint is one of {known}")
    for wish in (hint, creator):
        if wish is not None:
            found = wish if wish in with_nodes else regions.nearest(wish, with_nodes)
            if found is not None:
                return found
    return None


def choose_followers(
    database_id: str, sites: Iterable[Site], near: str, regions: Regions, count: int = FOLLOWERS
) -> tuple[str, ...]:
    """Names of `count` followers, fewer if there are fewer: on as many nodes as can be, then zones, then regions.

    Equal choices go to the region nearest to `near`, then by a digest of both names, so that databases spread over
    followers. The same arguments, in any order, give the same names.
    """
    left, chosen = list(sites), list[Site]()
    while left and len(chosen) < count:
        used = [Counter(map(domain, chosen)) for domain in DOMAINS]
        best = min(left, key=lambda site: _cost(site, used, database_id, near, regions))
        left.remove(best)
        chosen.append(best)
    return tuple(site.follower for site in chosen)


def tolerated_losses(sites: Sequence[Site], domain: Callable[[Site], tuple[str, ...]] = node_of) -> int:
    """How many failure domains, of one kind and whichever, may be lost while a quorum of `sites` stays.

    The worst case: the domains that hold most are lost first.
    """
    needed, left = majority(len(sites)), len(sites)
    for lost, (_, held) in enumerate(Counter(map(domain, sites)).most_common()):
        left -= held
        if left < needed:
            return lost
    return 0


def tolerated_nodes(sites: Sequence[Site]) -> int:
    """How many nodes may be lost, whichever they are, without losing an acknowledged write or the quorum."""
    return tolerated_losses(sites, node_of)


def _cost(
    site: Site, used: Sequence[Counter[tuple[str, ...]]], database_id: str, near: str, regions: Regions
) -> tuple[int, int, int, float, bytes, str]:
    nodes, zones, places = (counts[domain(site)] for counts, domain in zip(used, DOMAINS, strict=True))
    distance = regions.distance_km(near, site.region)
    spread = blake2b(f"{database_id}/{site.follower}".encode(), digest_size=8).digest()
    return nodes, zones, places, float("inf") if distance is None else distance, spread, site.follower
