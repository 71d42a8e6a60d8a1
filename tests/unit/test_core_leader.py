"""What a leader holds to whoever drives it."""

from __future__ import annotations

from tests.scenarios.names import DATABASE, Entries, members_of

from raylite.actors.core import messages as m
from raylite.actors.core.leader import Leader
from raylite.actors.core.membership import Propose
from raylite.actors.core.peer import peer_of
from raylite.actors.core.takeover import Adopted

MEMBERS = members_of("a")
A = peer_of(MEMBERS.current[0])


def test_members_change_only_once_an_entry_of_the_own_epoch_is_confirmed() -> None:
    entries = Entries()
    start, following = entries.places["0/0"], members_of("a,b").current
    leader = Leader(DATABASE, Adopted(1, start, start, MEMBERS.current[0], MEMBERS, (), 0), 0.0)
    leader.connected(A, 0.0)
    leader.received(A, m.Appended(DATABASE, 1, 1, start), 0.0)
    assert leader.change_members(following, 0.0) == []
    (first,) = entries.make(start, ["1/1"])
    leader.propose([first], 0.0)
    assert leader.change_members(following, 0.0) == []
    assert list(leader.peers) == [A]
    leader.received(A, m.Appended(DATABASE, 2, 1, first.place), 0.0)
    assert leader.change_members(following, 0.0) == []
    b = peer_of(following[1])
    leader.connected(b, 0.0)
    assert Propose(members_of("a|a,b")) in leader.received(b, m.Appended(DATABASE, 3, 1, first.place), 0.0)


def test_once_fenced_a_leader_hears_nothing_and_may_answer_nothing() -> None:
    entries = Entries()
    start = entries.places["0/0"]
    leader = Leader(DATABASE, Adopted(1, start, start, MEMBERS.current[0], MEMBERS, (), 0), 0.0)
    leader.connected(A, 0.0)
    leader.received(A, m.Appended(DATABASE, 1, 1, start), 0.0)
    (first,) = entries.make(start, ["1/1"])
    leader.propose([first], 0.0)
    assert leader.may_answer(0.0)
    leader.received(A, m.Refused(DATABASE, 2, 2), 0.0)
    assert not leader.may_answer(0.0)
    assert leader.received(A, m.Appended(DATABASE, 2, 1, first.place), 0.0) == []
    assert leader.confirmed == start
