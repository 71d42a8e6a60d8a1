"""Quorums, against every subset."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylite.policies.quorum import Member, Members, agreed, is_quorum, majority, may_agree

_POOL = tuple(Member(f"follower:{number}", "x") for number in range(7))
_SETS = st.lists(st.sampled_from(_POOL), min_size=1, max_size=7, unique=True).map(tuple)
_MEMBERS = st.builds(Members, _SETS, st.just(()) | _SETS)


def _subsets(pool: tuple[Member, ...]) -> list[tuple[Member, ...]]:
    return list(chain.from_iterable(combinations(pool, size) for size in range(len(pool) + 1)))


def test_three_of_five_are_a_quorum_and_two_are_not() -> None:
    five = Members(_POOL[:5])
    assert majority(5) == 3
    assert is_quorum(five, _POOL[2:5])
    assert not is_quorum(five, _POOL[:2])


def test_whoever_is_no_member_or_is_counted_twice_does_not_count() -> None:
    five = Members(_POOL[:5])
    assert not is_quorum(five, (*_POOL[:2], *_POOL[5:7]))
    assert not is_quorum(five, [_POOL[0], _POOL[0], _POOL[0]])


def test_an_incarnation_of_before_does_not_count() -> None:
    five = Members(_POOL[:5])
    assert not is_quorum(five, (*_POOL[:2], Member("follower:2", "another disk")))


def test_during_a_change_a_majority_of_both_sets_is_needed() -> None:
    change = Members(_POOL[:5], _POOL[2:7])
    assert is_quorum(change, _POOL[2:5])
    assert not is_quorum(change, _POOL[:4])
    assert not is_quorum(change, _POOL[3:7])


@pytest.mark.parametrize("size", range(1, 10))
def test_a_majority_is_the_least_of_which_two_always_overlap(size: int) -> None:
    assert 2 * majority(size) > size
    assert 2 * (majority(size) - 1) <= size


@given(_MEMBERS)
def test_any_two_quorums_of_the_same_members_share_one(members: Members) -> None:
    quorums = [set(chosen) for chosen in _subsets(members.everyone) if is_quorum(members, chosen)]
    assert quorums
    assert all(a & b for a, b in combinations(quorums, 2))


@given(_SETS, _SETS)
def test_a_quorum_during_a_change_overlaps_every_quorum_before_and_after_it(
    current: tuple[Member, ...], following: tuple[Member, ...]
) -> None:
    joint = Members(current, following)
    during = [set(chosen) for chosen in _subsets(joint.everyone) if is_quorum(joint, chosen)]
    for alone in (Members(current), Members(following)):
        outside = [set(chosen) for chosen in _subsets(alone.everyone) if is_quorum(alone, chosen)]
        assert all(a & b for a in during for b in outside)


@given(_MEMBERS, st.lists(st.integers(0, 6), min_size=7, max_size=7))
def test_what_is_agreed_is_the_highest_that_a_quorum_has_reached(members: Members, values: list[int]) -> None:
    reached = dict(zip(_POOL, values, strict=True))
    slow = max(
        value
        for value in {-1, *values}
        if is_quorum(members, [one for one in members.everyone if reached[one] >= value])
    )
    assert agreed(members, reached.__getitem__) == slow


def test_everyone_is_named_once_in_order() -> None:
    assert Members(_POOL[:3], _POOL[1:4]).everyone == _POOL[:4]


@given(_MEMBERS, st.sets(st.sampled_from(_POOL)))
def test_the_others_may_agree_as_long_as_some_of_them_are_a_quorum(
    members: Members, out: set[Member]
) -> None:
    others = tuple(one for one in _POOL if one not in out)
    assert may_agree(members, out) == any(is_quorum(members, some) for some in _subsets(others))
