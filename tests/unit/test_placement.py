"""Where primaries and followers run, against every choice that there would have been."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raylite.policies.errors import InvalidName
from raylite.policies.limits import FOLLOWER_NODES
from raylite.policies.placement import (
    choose_followers,
    node_of,
    place_followers,
    primary_region,
    region_of,
    tolerated_losses,
    tolerated_nodes,
    zone_of,
)
from raylite.policies.quorum import majority
from raylite.policies.regions import Regions
from raylite.policies.system import Node, Site

_PLAIN = Regions()


def _sites(*nodes: str) -> list[Site]:
    """One follower for each "region/zone/node", numbered."""
    parts = [node.split("/") for node in nodes]
    return [Site(f"follower:{number}", "/".join(part), part[0], part[1]) for number, part in enumerate(parts)]


_NODES = st.tuples(st.sampled_from(["enam", "weur", "rack-7"]), st.sampled_from("ab"), st.sampled_from("12"))
_SITES = st.lists(_NODES, max_size=9).map(lambda nodes: _sites(*("/".join(node) for node in nodes)))


def _spread(sites: Sequence[Site]) -> tuple[int, int, int]:
    return len(set(map(node_of, sites))), len(set(map(zone_of, sites))), len(set(map(region_of, sites)))


def _chosen(sites: Sequence[Site], database: str = "db", near: str = "enam") -> list[Site]:
    names = choose_followers(database, sites, near, _PLAIN)
    by_name = {site.follower: site for site in sites}
    return [by_name[name] for name in names]


# The primary


def test_a_primary_goes_where_its_hint_says() -> None:
    assert primary_region("weur", "enam", ["enam", "weur"], _PLAIN) == "weur"


def test_a_hint_without_nodes_means_the_nearest_region_that_has_some() -> None:
    assert primary_region("eeur", "enam", ["enam", "weur"], _PLAIN) == "weur"


def test_without_a_hint_a_primary_is_near_whoever_created_it() -> None:
    assert primary_region(None, "enam", ["enam", "weur"], _PLAIN) == "enam"
    assert primary_region(None, "oc", ["apac", "weur"], _PLAIN) == "apac"


def test_a_hint_with_no_region_near_it_leaves_it_to_the_creator() -> None:
    assert primary_region("weur", "rack-7", ["rack-7"], _PLAIN) == "rack-7"


def test_a_creator_from_an_unknown_place_leaves_the_region_open() -> None:
    assert primary_region(None, "rack-7", ["enam"], _PLAIN) is None
    assert primary_region(None, "enam", [], _PLAIN) is None


def test_a_hint_that_is_no_region_is_refused_and_those_that_are_are_named() -> None:
    with pytest.raises(InvalidName, match=r"enam.*rack-7"):
        primary_region("mars", "enam", ["rack-7"], _PLAIN)


def test_a_label_of_a_node_is_a_hint_too() -> None:
    assert primary_region("rack-7", "enam", ["enam", "rack-7"], _PLAIN) == "rack-7"


# The followers


def test_five_nodes_get_one_follower_each() -> None:
    sites = _sites("enam/a/1", "enam/a/1", "enam/a/2", "enam/a/3", "enam/a/4", "enam/a/4", "enam/a/5")
    assert _spread(_chosen(sites))[0] == 5


def test_among_many_nodes_all_zones_and_regions_are_used() -> None:
    sites = _sites(*(f"enam/{zone}/{n}" for zone in "abc" for n in range(5)), "weur/a/1", "apac/a/1")
    chosen = _chosen(sites)
    assert _spread(chosen) == (5, 5, 3)


def test_another_node_counts_more_than_an_even_spread_over_zones() -> None:
    sites = _sites(*["enam/a/1"] * 3, *(f"enam/b/{n}" for n in range(4)))
    assert _spread(_chosen(sites)) == (5, 2, 1)


def test_another_zone_counts_more_than_an_even_spread_over_regions() -> None:
    sites = _sites(*(f"enam/{zone}/1" for zone in "abcd"), "weur/a/1", "weur/a/2")
    assert _spread(_chosen(sites)) == (5, 5, 2)


def test_equal_choices_go_to_the_region_nearest_to_the_primary() -> None:
    sites = _sites(*(f"{region}/{n}/x" for region in ("apac", "weur", "enam") for n in range(3)))
    assert Counter(site.region for site in _chosen(sites, near="enam")) == {"enam": 2, "weur": 2, "apac": 1}


def test_one_node_holds_all_five() -> None:
    assert len(_chosen(_sites(*["enam/a/1"] * 7))) == 5


def test_databases_spread_over_followers() -> None:
    sites = _sites(*(f"enam/a/{n}" for n in range(10)))
    used = Counter(site for n in range(200) for site in _chosen(sites, database=f"db-{n}"))
    assert len(used) == 10
    assert min(used.values()) > 50


@given(_SITES, st.data())
def test_the_choice_depends_on_no_order_and_names_nobody_twice(
    sites: list[Site], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(sites))
    names = choose_followers("db", sites, "enam", _PLAIN)
    assert choose_followers("db", shuffled, "enam", _PLAIN) == names
    assert len(set(names)) == len(names) == min(5, len(sites))


@settings(max_examples=50)
@given(_SITES)
def test_no_other_choice_uses_more_nodes_or_as_many_with_more_zones_and_regions(sites: list[Site]) -> None:
    chosen = _chosen(sites)
    every = combinations(sites, len(chosen))
    assert _spread(chosen) == max(map(_spread, every), default=(0, 0, 0))


# What may be lost


@pytest.mark.parametrize(
    ("nodes", "tolerated"),
    [
        ("12345", 2),
        ("11234", 1),
        ("11223", 1),
        ("11123", 0),
        ("11222", 0),
        ("11111", 0),
        ("123", 1),
        ("1", 0),
        ("", 0),
    ],
)
def test_how_many_nodes_may_be_lost_is_told_honestly(nodes: str, tolerated: int) -> None:
    assert tolerated_nodes(_sites(*(f"enam/a/{node}" for node in nodes))) == tolerated


def test_zones_and_regions_are_counted_the_same_way() -> None:
    sites = _sites("enam/a/1", "enam/b/1", "weur/a/1", "weur/b/1", "apac/a/1")
    assert [tolerated_losses(sites, domain) for domain in (node_of, zone_of, region_of)] == [2, 2, 1]


def test_zones_of_the_same_name_in_two_regions_are_two() -> None:
    assert zone_of(Site("f", "n", "enam", "a")) != zone_of(Site("f", "n", "weur", "a"))


@given(_SITES, st.sampled_from([node_of, zone_of, region_of]))
def test_as_many_domains_may_be_lost_as_leave_a_quorum_whichever_they_are(
    sites: list[Site], domain: Callable[[Site], tuple[str, ...]]
) -> None:
    domains = set(map(domain, sites))

    def survives(count: int) -> bool:
        rests = (sum(domain(site) not in gone for site in sites) for gone in combinations(domains, count))
        return all(rest >= majority(len(sites)) for rest in rests)

    honest = max((count for count in range(len(domains) + 1) if survives(count)), default=0)
    assert tolerated_losses(sites, domain) == honest


# Follower actors


def test_a_lost_follower_counts_against_what_may_still_be_lost() -> None:
    sites = _sites("enam/a/1", "enam/a/2", "weur/a/1", "weur/a/2", "apac/a/1")
    assert [tolerated_nodes(sites[:left], 5) for left in (5, 4, 3, 2, 0)] == [2, 1, 0, 0, 0]


def test_new_followers_go_to_nodes_zones_and_regions_that_have_fewest() -> None:
    nodes = [Node("1", "enam", "a"), Node("2", "enam", "a"), Node("3", "enam", "b"), Node("4", "weur", "a")]
    sites = place_followers(nodes, {}, 0, 0)
    assert sorted(site.node for site in sites) == ["1", "2", "3", "4"]
    assert {zone_of(site) for site in sites[:3]} == {("enam", "a"), ("enam", "b"), ("weur", "a")}


def test_a_large_cluster_has_followers_on_some_nodes_only() -> None:
    nodes = [Node(str(number), f"region-{number % 7}") for number in range(3 * FOLLOWER_NODES)]
    sites = place_followers(nodes, {}, 0)
    assert len({site.node for site in sites}) == len(sites) == FOLLOWER_NODES
    assert len({site.region for site in sites}) == 7


def test_without_nodes_there_are_no_followers() -> None:
    assert place_followers([], {}, 0) == ()
