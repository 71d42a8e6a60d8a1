"""Taking over against what all answers together allow."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scenarios.names import member_of, members_of

from raylite.actors.core import messages as m
from raylite.actors.core.takeover import Adopted, Takeover
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.limits import PROMISE_SECONDS, RETRY_SECONDS
from raylite.policies.quorum import Member, Members, is_quorum

START = origin("db")
OLD, BOTH, NEW = members_of("a,b,c"), members_of("a,b,c|c,d,e"), members_of("c,d,e")
EVERYONE = BOTH.everyone
Log = tuple[Bookmark, Bookmark, Members, int]
"""A follower's tail, its confirmed mark, the members in its log, and what it promised last."""


def place(epoch: int, sequence: int) -> Bookmark:
    return Bookmark(epoch, sequence, START.history, bytes([epoch, sequence] * 6))


def members_at(epoch: int, sequence: int) -> Members:
    """The members of the log that ends here: they changed with 2/3 and 2/4."""
    if epoch < 2 or sequence < 3:
        return OLD
    return BOTH if sequence == 3 else NEW


@st.composite
def followers(draw: st.DrawFn) -> dict[Member, Log]:
    """Some log for each member."""
    chosen: dict[Member, Log] = {}
    for member in EVERYONE:
        epoch, sequence = draw(st.sampled_from([(1, 1), (1, 2), (1, 5), (2, 2), (2, 3), (2, 4)]))
        mark = place(1, draw(st.integers(1, min(sequence, 2))))
        chosen[member] = place(epoch, sequence), mark, members_at(epoch, sequence), draw(st.integers(0, 4))
    return chosen


@given(followers(), st.data())
@settings(max_examples=50)
def test_what_is_adopted_is_the_newest_of_a_quorum_s_logs(
    logs: dict[Member, Log], data: st.DataObject
) -> None:
    takeover = Takeover("db", OLD, "directory", jitter=data.draw(st.sampled_from([0.0, 0.5, 1.0])))
    promised = {member: log[3] for member, log in logs.items()}
    answers: list[tuple[Member, m.FromFollower]] = []
    now = 0.0
    for _ in range(60):
        now += RETRY_SECONDS
        for ask in takeover.tick(now):
            assert ask.member in takeover.members.everyone
            assert ask.message.epoch == takeover.epoch
            answers.append((ask.member, answer(logs[ask.member], promised, ask.member, ask.message)))
        if not answers:
            continue
        chosen = data.draw(st.integers(0, len(answers) - 1))
        member, reply = answers[chosen] if data.draw(st.booleans()) else answers.pop(chosen)
        adopted = takeover.received(member, reply, now)
        if adopted:
            check(adopted, takeover, logs, promised)
            assert not takeover.tick(now + 100)
            assert not takeover.connected(EVERYONE[0])
            assert takeover.received(member, reply, now) is None
            return
    assert takeover.adopted is None


def answer(log: Log, promised: dict[Member, int], member: Member, ask: m.Promise) -> m.FromFollower:
    """What a follower with this log says, and promises by it."""
    if ask.epoch <= promised[member]:
        return m.Refused("db", ask.number, promised[member])
    promised[member] = ask.epoch
    tail, mark, members, _ = log
    return m.Promised("db", ask.number, ask.epoch, tail, mark, START, members)


def check(
    adopted: Adopted,
    takeover: Takeover,
    logs: dict[Member, Log],
    promised: dict[Member, int],
) -> None:
    """A quorum of the members in the adopted log has promised, and none of these has a newer log."""
    agreeing = list(takeover.promises)
    assert all(promised[member] >= adopted.epoch for member in agreeing)
    ranks = [(logs[member][0].epoch, logs[member][0].sequence) for member in agreeing]
    assert (adopted.tail.epoch, adopted.tail.sequence) == max(ranks)
    assert logs[adopted.source][0] == adopted.tail
    assert adopted.members == logs[adopted.source][2]
    assert is_quorum(adopted.members, agreeing)
    assert adopted.confirmed.sequence == max(logs[member][1].sequence for member in agreeing)


def test_all_that_answer_lead_to_the_end() -> None:
    takeover = Takeover("db", OLD, "directory", jitter=0.0)
    promised = {member: number for number, member in enumerate(OLD.everyone)}
    log = place(1, 1), START, OLD, 0
    for _ in range(4):
        for ask in takeover.tick(0.0):
            takeover.received(ask.member, answer(log, promised, ask.member, ask.message), 0.0)
    assert takeover.adopted is not None
    assert takeover.epoch == 3


def test_who_has_not_answered_is_asked_again_and_not_before_a_promise_may_have_waited() -> None:
    takeover = Takeover("db", OLD, "directory", jitter=0.0)
    asked = takeover.tick(10.0)
    assert [ask.member for ask in asked] == list(OLD.everyone)
    assert takeover.tick(10.0 + PROMISE_SECONDS - 0.01) == []
    again = takeover.tick(10.0 + PROMISE_SECONDS)
    assert [ask.member for ask in again] == list(OLD.everyone)
    assert {ask.message.number for ask in again}.isdisjoint(ask.message.number for ask in asked)


def test_nobody_is_asked_at_a_connection_between_two_attempts() -> None:
    takeover = Takeover("db", OLD, "directory", jitter=1.0)
    assert takeover.connected(member_of("a")) == []
    takeover.tick(0.0)
    assert [ask.message.epoch for ask in takeover.connected(member_of("a"))] == [1]
    takeover.received(member_of("b"), m.Refused("db", 2, 5), 0.0)
    assert takeover.connected(member_of("a")) == []
    takeover.tick(RETRY_SECONDS)
    assert [ask.message.epoch for ask in takeover.connected(member_of("a"))] == [6]
