"""Each follower runs where its journal is, whatever Ray calls the nodes after a restart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylite.actors.founding import Holding, Journal
from raylite.actors.survey import next_number, place, without_foreign
from raylite.policies.errors import Corrupt
from raylite.policies.limits import FOLLOWERS
from raylite.policies.quorum import Member, Members
from raylite.policies.system import Node, Site, SystemRecord, follower_number


def _nodes(*regions: str) -> list[Node]:
    return [Node(f"node-{number}", region) for number, region in enumerate(regions)]


def _held(nodes: Sequence[Node], *journals: Sequence[int]) -> dict[str, Holding]:
    """The journals on the disk of each node."""
    return {
        node.id: Holding(journals=tuple(_journal(number, node.id) for number in numbers))
        for node, numbers in zip(nodes, journals, strict=True)
    }


def _journal(number: int, disk: str) -> Journal:
    return Journal(number, "system", f"{disk}/followers/{number}", disk)


def _homes(sites: Sequence[Site]) -> dict[int, str]:
    return {follower_number(site.follower): site.node for site in sites}


def test_a_new_system_has_a_follower_on_every_node() -> None:
    nodes = _nodes("enam", "enam", "weur", "weur", "apac", "apac", "apac")
    sites = place(nodes, _held(nodes, *[()] * 7), (), ())
    assert sorted(_homes(sites)) == list(range(7))
    assert {site.node for site in sites} == {node.id for node in nodes}
    assert [site.region for site in sites] == [nodes[int(site.node[-1])].region for site in sites]


def test_fewer_nodes_than_five_share_five_followers_evenly() -> None:
    nodes = _nodes("enam", "weur", "apac")
    sites = place(nodes, _held(nodes, (), (), ()), (), ())
    assert sorted(Counter(site.node for site in sites).values()) == [1, 2, 2]


def test_after_a_restart_each_follower_is_where_its_journal_is() -> None:
    nodes = _nodes("enam", "weur", "apac", "enam", "weur")
    held = _held(nodes, [3], [0], [4], [2], [1])
    assert _homes(place(nodes, held, (), ())) == {
        3: "node-0", 0: "node-1", 4: "node-2", 2: "node-3", 1: "node-4",
    }  # fmt: skip


def test_a_journal_that_is_on_no_disk_is_not_made_up_elsewhere() -> None:
    nodes = _nodes("enam", "weur", "apac", "enam")
    held = _held(nodes, [0], [1], [2], [4])
    assert set(_homes(place(nodes, held, (), ()))) == {0, 1, 2, 4}


def test_a_node_with_an_empty_disk_gets_a_follower_with_a_number_of_its_own() -> None:
    nodes = _nodes("enam", "weur", "apac", "enam", "weur")
    held = _held(nodes, [0], [1], [2], [3], [])
    members = Members(tuple(Member(f"follower:{number}", "x") for number in range(5)))
    held["node-0"] = Holding(members=members, journals=held["node-0"].journals)
    assert _homes(place(nodes, held, (), ()))[5] == "node-4"


def test_a_number_is_never_used_again() -> None:
    members = Members(tuple(Member(f"follower:{number}", "x") for number in range(7)))
    assert next_number({}, ()) == 0
    assert next_number({"a": Holding(next_follower=9)}, ()) == 9
    assert next_number({"a": Holding(members=members)}, ()) == 7
    assert next_number({"a": Holding(journals=(_journal(11, "a"),))}, ()) == 12
    assert next_number({"a": Holding(next_follower=9)}, [Site("follower:20", "b", "enam")]) == 21


def test_spare_followers_make_up_for_those_that_are_gone() -> None:
    nodes = _nodes("enam", "weur", "apac", "enam")
    held = _held(nodes, [0], [1], [2], [4])
    spared = place(nodes, held, (), (), spare=True)
    assert len(spared) == FOLLOWERS
    assert 5 in _homes(spared)


def test_a_journal_on_two_disks_is_refused() -> None:
    nodes = _nodes("enam", "weur")
    with pytest.raises(Corrupt, match=r"node-0/followers/1 .*node-1/followers/1"):
        place(nodes, _held(nodes, [0, 1], [1, 2]), (), ())


def test_a_node_with_another_systems_files_is_left_out_and_named() -> None:
    ours, theirs = (SystemRecord(1, system, "registry", "secret") for system in ("system", "other"))
    nodes = _nodes("enam", "weur", "apac", "enam")
    held = _held(nodes, [0], [], [1], [])
    held["node-1"] = Holding(record=theirs)
    held["node-2"] = Holding(journals=(Journal(7, "third", "path", "inode"),))
    held["node-3"] = Holding(record=ours)
    usable, problems = without_foreign(held, ours)
    assert set(usable) == {"node-0", "node-3"}
    assert [("other" in one, "third" in one) for one in problems] == [(True, False), (False, True)]


def test_nodes_of_one_machine_may_share_a_directory() -> None:
    nodes = _nodes("enam", "weur", "apac")
    same = tuple(_journal(number, "one disk") for number in range(6))
    held = {node.id: Holding(journals=same) for node in nodes}
    assert Counter(_homes(place(nodes, held, (), ())).values()) == {"node-0": 2, "node-1": 2, "node-2": 2}
    running = [Site(f"follower:{number}", "node-2", "apac") for number in range(6)]
    homes = _homes(place(nodes, held, running, ()))
    assert {homes[number] for number in range(6)} == {"node-2"}


def test_virtual_regions_share_the_node_in_turn() -> None:
    nodes = _nodes("enam")
    sites = place(nodes, _held(nodes, [0, 2]), (), ("enam", "weur", "apac"), spare=True)
    regions = {follower_number(site.follower): site.region for site in sites}
    assert regions == {0: "enam", 2: "apac", 3: "enam", 4: "weur", 5: "apac"}


_DISKS: st.SearchStrategy[Mapping[int, int]] = st.dictionaries(st.integers(0, 9), st.integers(0, 5))


@given(_DISKS, st.sets(st.integers(0, 5), min_size=1), st.booleans())
def test_any_nodes_that_come_back_bring_exactly_their_followers(
    disks: Mapping[int, int], alive: set[int], spare: bool
) -> None:
    nodes = [Node(f"life-2-{disk}", "enam") for disk in sorted(alive)]
    held = {
        f"life-2-{disk}": Holding(
            next_follower=10, journals=tuple(_journal(n, str(disk)) for n, d in disks.items() if d == disk)
        )
        for disk in alive
    }
    homes = _homes(place(nodes, held, (), (), spare=spare))
    assert {n: home for n, home in homes.items() if n < 10} == {
        n: f"life-2-{disk}" for n, disk in disks.items() if disk in alive
    }
    assert {node.id for node in nodes} == set(homes.values())
    assert not spare or len(homes) >= FOLLOWERS
