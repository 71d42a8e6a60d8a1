"""Which followers there are, told from the disks of the nodes: each runs where its journal is.

Ray gives a node a new id whenever it starts, so after a restart only the disks can tell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from raylite.actors.founding import Holding, Journal
from raylite.policies.errors import Corrupt
from raylite.policies.limits import FOLLOWERS
from raylite.policies.placement import place_followers
from raylite.policies.system import Node, Site, SystemRecord, follower_name, follower_number

Holdings = Mapping[str, Holding]
"""What the disk of each node has, by the node's id; nodes that could not be asked are missing."""


def place(
    nodes: Sequence[Node],
    holdings: Holdings,
    known: Iterable[Site],
    virtual: Sequence[str],
    *,
    spare: bool = False,
) -> tuple[Site, ...]:
    """Where followers run: those with a journal beside it, a new one on each node that has none, at least five in all.

    known: as they were before. One whose journal is on none of these disks is not placed, and its number is not used
    again; it counts as one of five, since it may come back, unless `spare`. virtual: regions that share the node.
    Raises `Corrupt` if two disks have the journal of one follower.
    """
    before = tuple(known)
    homes = _homes(holdings, {site.follower: site.node for site in before})
    asked = [node for node in nodes if node.id in holdings]
    first_new = next_number(holdings, before)
    absent = 0 if spare else first_new - len(homes)
    sites = place_followers(asked, homes, first_new, FOLLOWERS - absent)
    return tuple(_in_virtual_region(site, virtual) for site in sites) if virtual else sites


def without_foreign(holdings: Holdings, record: SystemRecord) -> tuple[Holdings, tuple[str, ...]]:
    """The holdings that are this system's or nobody's, and what is wrong with the others, in words."""
    ours: dict[str, Holding] = {}
    problems: list[str] = []
    for node, holding in holdings.items():
        systems = {journal.system_id for journal in holding.journals}
        systems |= {holding.record.system_id} if holding.record else set()
        if systems <= {record.system_id}:
            ours[node] = holding
        else:
            problems.append(
                f"node {node[:8]} has files of system {', '.join(sorted(systems))} and is not used"
            )
    return ours, tuple(problems)


def next_number(holdings: Holdings, known: Iterable[Site]) -> int:
    """The lowest number above those of all followers that are or were."""
    used = [holding.next_follower - 1 for holding in holdings.values()]
    used += [journal.number for holding in holdings.values() for journal in holding.journals]
    for holding in holdings.values():
        if holding.members is not None:
            used += [follower_number(one.follower) for one in holding.members.everyone]
    used += [follower_number(site.follower) for site in known]
    return max(used, default=-1) + 1


def _homes(holdings: Holdings, before: Mapping[str, str]) -> dict[int, str]:
    """The node of each journal. Nodes of one machine may share a directory: then one that had it, or has fewest."""
    holders: dict[int, list[tuple[str, Journal]]] = {}
    for node, holding in holdings.items():
        for journal in holding.journals:
            holders.setdefault(journal.number, []).append((node, journal))
    homes: dict[int, str] = {}
    for number, found in sorted(holders.items()):
        if len({journal.inode for _, journal in found}) > 1:
            places = " and ".join(f"{journal.path} of node {node[:8]}" for node, journal in found)
            raise Corrupt(
                "a journal", f"follower {number}", f"it is twice: {places}; leave the newer one only"
            )
        loads = Counter(homes.values())
        nodes = [node for node, _ in found]
        had = before.get(follower_name(number), "")
        homes[number] = had if had in nodes else min(nodes, key=lambda node: loads[node])
    return homes


def _in_virtual_region(site: Site, virtual: Sequence[str]) -> Site:
    return Site(site.follower, site.node, virtual[follower_number(site.follower) % len(virtual)])
