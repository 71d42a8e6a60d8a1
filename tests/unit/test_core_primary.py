"""A reign's own part: who is admitted, who answers, and which followers it needs."""

from __future__ import annotations

import msgspec
import pytest
from tests.scenarios.names import DATABASE, Entries, member_of, members_of

from raylite.actors.core import messages as m
from raylite.actors.core.peer import peer_of
from raylite.actors.core.primary import Phase, PrimaryCore
from raylite.actors.core.shipping import Ship
from raylite.policies.bookmark import origin
from raylite.policies.errors import BookmarkError, NotPrimary, Overloaded
from raylite.policies.limits import LEASE_DRIFT_SECONDS, LEASE_SECONDS, WAITING_QUERIES

MEMBERS = members_of("a,b,c")
A, B, C = (peer_of(member) for member in MEMBERS.everyone)


def reign(entries: Entries) -> PrimaryCore:
    """A reign that is open, in epoch 1, with a and b."""
    start = entries.places["0/0"]
    core = PrimaryCore(DATABASE, "shop", MEMBERS, "directory", jitter=0.0)
    core.tick(0.0)
    for peer in (A, B):
        core.connected(peer, 0.0)
        core.received(peer, m.Promised(DATABASE, 0, 1, start, start, start, MEMBERS), 0.0)
    (first,) = entries.make(start, ["1/1"])
    core.committed([first], 0.0)
    for number, peer in enumerate((A, B), 1):
        core.received(peer, m.Appended(DATABASE, number, 1, first.place), 0.0)
    core.replayed()
    assert core.phase is Phase.OPEN
    return core


def test_so_many_queries_run_or_wait_and_no_more_until_one_is_dismissed() -> None:
    core = reign(Entries())
    for _ in range(WAITING_QUERIES):
        core.admit(None, 0.0)
    with pytest.raises(Overloaded):
        core.admit(None, 0.0)
    core.dismissed()
    core.admit(None, 0.0)


def test_who_is_refused_takes_no_place() -> None:
    core = reign(Entries())
    core.stop()
    for _ in range(WAITING_QUERIES + 1):
        with pytest.raises(NotPrimary):
            core.admit(None, 0.0)


def test_connections_are_needed_to_all_members_and_to_newcomers() -> None:
    core = PrimaryCore(DATABASE, "shop", MEMBERS, "directory", jitter=0.0)
    assert core.contacts == MEMBERS.everyone
    core = reign(Entries())
    assert core.contacts == MEMBERS.everyone
    core.change_members(members_of("a,b,d").current, 0.0)
    assert core.contacts == (*MEMBERS.everyone, member_of("d"))


def test_a_newcomer_that_is_connected_from_an_earlier_membership_is_asked_at_once() -> None:
    core = reign(Entries())
    newcomer = peer_of(member_of("d"))
    core.connected(newcomer, 0.0)
    asked = core.change_members(members_of("a,b,d").current, 0.0)
    assert [effect.peer for effect in asked if isinstance(effect, Ship)] == [newcomer]
    core.lost(newcomer)
    assert not any(isinstance(one, Ship) for one in core.change_members(members_of("a,b,d").current, 0.0))


def test_what_is_confirmed_is_unknown_until_the_reign_has_a_log() -> None:
    core = PrimaryCore(DATABASE, "shop", MEMBERS, "directory", jitter=0.0)
    core.lost(A)
    assert core.confirmed is None
    assert core.refusal_of_writes(0.0) is None
    assert core.fetched(A, m.Unknown(DATABASE, 0), [], 0.0) == []
    assert core.missing(A, 0, 0.0) == []
    assert core.change_members(MEMBERS.current, 0.0) == []
    entries = Entries()
    assert core.committed(entries.make(entries.places["0/0"], ["1/1"]), 0.0) == []
    core.replayed()
    assert core.phase is Phase.TAKING_OVER
    entries = Entries()
    core = reign(entries)
    assert core.confirmed == entries.places["1/1"]


def test_followers_that_are_connected_are_asked_as_the_reign_begins() -> None:
    start = Entries().places["0/0"]
    core = PrimaryCore(DATABASE, "shop", MEMBERS, "directory", jitter=0.0)
    core.tick(0.0)
    for peer in (A, B, C):
        core.connected(peer, 0.0)
    core.lost(B)
    promised = m.Promised(DATABASE, 0, 1, start, start, start, MEMBERS)
    assert core.received(A, promised, 0.0) == []
    begun = core.received(B, promised, 0.0)
    assert [effect.peer for effect in begun if isinstance(effect, Ship)] == [A, C]


def test_the_followers_that_agree_are_told() -> None:
    core = reign(Entries())
    assert core.leader is not None
    assert [member.follower for member in core.leader.agreeing] == ["a", "b"]


def test_another_database_s_bookmark_is_refused_even_where_a_later_reign_is_possible() -> None:
    core = reign(Entries())
    foreign = msgspec.structs.replace(origin("another"), epoch=7, sequence=7)
    with pytest.raises(BookmarkError):
        core.admit(foreign, 0.0)
    beyond_the_lease = LEASE_SECONDS - LEASE_DRIFT_SECONDS
    for number, peer in enumerate((A, B), 3):
        core.received(peer, m.Mismatch(DATABASE, number, 1, foreign, foreign), beyond_the_lease)
    with pytest.raises(BookmarkError):
        core.admit(foreign, beyond_the_lease)


def test_promises_of_others_than_the_members_count_for_nothing() -> None:
    start = Entries().places["0/0"]
    core = PrimaryCore(DATABASE, "shop", MEMBERS, "directory", jitter=0.0)
    core.tick(0.0)
    for peer in (A, "a/2", "x/x.1"):
        assert core.received(peer, m.Promised(DATABASE, 0, 1, start, start, start, MEMBERS), 0.0) == []
        assert core.connected("x/x.1", 0.0) == []
    assert core.phase is Phase.TAKING_OVER
