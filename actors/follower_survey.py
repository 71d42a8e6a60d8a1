"""A look at all nodes: followers that are on their disks are started there, and new ones where there are too few."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from raylite.actors import nodes, ray_calls, survey
from raylite.actors.ports import Survey
from raylite.policies.system import RegistryPlan, Settings, Site

Start = Callable[[Site], object]
"""Starts a follower on the node that has, or gets, its directory."""


def followers_of(sites: Sequence[Site], settings: Settings, start: Start, *, spare: bool) -> Survey:
    """Starts the followers that are on the nodes' disks and not among `sites`, and new ones where there are too few."""
    plan = nodes.recall()
    assert plan is not None, "a registry is started with a plan"
    found, problems = survey.without_foreign(
        nodes.holdings(nodes.live_nodes(), settings.data_dir), plan.record
    )
    there = [node for node in nodes.live_nodes() if node.id in found]
    placed = survey.place(there, found, sites, settings.virtual, spare=spare)
    following = survey.next_number(found, (*sites, *placed))
    nodes.keep(there, settings.data_dir, plan.record, plan.members, following)
    for site in placed:
        if site not in sites:
            _move(site, start)
    names = {site.follower for site in placed}
    everybody = (*placed, *(site for site in sites if site.follower not in names))
    nodes.remember(RegistryPlan(plan.record, plan.members, everybody, settings))
    return Survey(everybody, problems)


def _move(site: Site, start: Start) -> None:
    """Starts a follower where its journal is; a process of an earlier life of that node may still count as running."""
    running = ray_calls.find(site.follower)
    if running is not None and nodes.node_of(running) not in ("", site.node):
        ray_calls.kill(running)
    start(site)
