"""Where a database's primary and its durability followers run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import count

from raylite.policies.errors import InvalidName
from raylite.policies.limits import FOLLOWER_NODES, FOLLOWERS
from raylite.policies.quorum import majority
from raylite.policies.regions import BUILT_IN, Regions
from raylite.policies.system import Node, Site, follower_name


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
    database_id: str,
    sites: Iterable[Site],
    near: str,
    regions: Regions,
    count: int = FOLLOWERS,
    beside: Sequence[Site] = (),
) -> tuple[str, ...]:
    """Names of `count` followers, fewer if there are fewer: on as many nodes as can be, then zones, then regions.

    Equal choices go to the region nearest to `near`, then by a digest of both names, so that databases spread over
    followers. The same arguments, in any order, give the same names. beside: those that are members already.
    """
    left, chosen = list(sites), list(beside)
    while left and len(chosen) < count + len(beside):
        used = [Counter(map(domain, chosen)) for domain in DOMAINS]
        best = min(left, key=lambda site: _cost(site, used, database_id, near, regions))
        left.remove(best)
        chosen.append(best)
    return tuple(site.follower for site in chosen[len(beside) :])


def place_followers(
    nodes: Sequence[Node], homes: Mapping[int, str], first_new: int, least: int = FOLLOWERS
) -> tuple[Site, ...]:
    """Where follower actors run: each that has a directory on its node, and a new one on every node that has none.

    At least `least` in all, several on one node if there are fewer nodes; nodes beyond `FOLLOWER_NODES` get none.
    homes: the node, one of `nodes`, of each follower that has a directory; first_new: the number of the first new one.
    """
    if not nodes:
        return ()
    by_id = {node.id: node for node in nodes}
    sites = [_site(number, by_id[home]) for number, home in sorted(homes.items())]
    for number in count(first_new):
        used = [Counter(map(domain, sites)) for domain in DOMAINS]
        node = min(nodes, key=lambda one: _crowd(_site(0, one), used))
        alone = not used[0][(node.id,)] and len(sites) < FOLLOWER_NODES
        if not alone and len(sites) >= least:
            break
        sites.append(_site(number, node))
    return tuple(sites)


def tolerated_losses(
    sites: Sequence[Site], domain: Callable[[Site], tuple[str, ...]] = node_of, members: int | None = None
) -> int:
    """How many failure domains, of one kind and whichever, may be lost while a quorum stays.

    The worst case: the domains that hold most are lost first. members: how many there are of which `sites` are left,
    all of them unless given.
    """
    needed, left = majority(len(sites) if members is None else members), len(sites)
    for lost, (_, held) in enumerate(Counter(map(domain, sites)).most_common()):
        left -= held
        if left < needed:
            return lost
    return 0


def tolerated_nodes(sites: Sequence[Site], members: int | None = None) -> int:
    """How many nodes may be lost, whichever they are, without losing an acknowledged write or the quorum.

    members: how many there are of which `sites` are left, all of them unless given.
    """
    return tolerated_losses(sites, node_of, members)


def _cost(
    site: Site, used: Sequence[Counter[tuple[str, ...]]], database_id: str, near: str, regions: Regions
) -> tuple[int, int, int, float, bytes, str]:
    nodes, zones, places = _crowd(site, used)
    distance = regions.distance_km(near, site.region)
    spread = blake2b(f"{database_id}/{site.follower}".encode(), digest_size=8).digest()
    return nodes, zones, places, float("inf") if distance is None else distance, spread, site.follower


def _crowd(site: Site, used: Sequence[Counter[tuple[str, ...]]]) -> tuple[int, int, int]:
    """How many there are already in each of its failure domains, the smallest domain first."""
    nodes, zones, places = (counts[domain(site)] for counts, domain in zip(used, DOMAINS, strict=True))
    return nodes, zones, places


def _site(number: int, node: Node) -> Site:
    return Site(follower_name(number), node.id, node.region, node.zone)
