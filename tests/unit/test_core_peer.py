"""What a leader knows of a peer, step by step."""

from __future__ import annotations

import pytest

from raylite.actors.core.peer import Peer, State
from raylite.policies.bookmark import origin
from raylite.policies.limits import HEARTBEAT_SECONDS, RETRY_SECONDS
from raylite.policies.quorum import Member

START = origin("db")
NEVER = float("-inf")
OVERDUE = 4 * RETRY_SECONDS


def streaming(now: float = 0.0) -> Peer:
    """A follower that agreed with everything below ordinal 3."""
    peer = Peer("a/1", Member("a", "1"), START, now)
    peer.probe(3, START, 1, now)
    peer.sends(1, 0, now)
    peer.acknowledge(1, now, leased=True)
    peer.stream_from(3, START)
    return peer


def busy(state: State, now: float) -> Peer:
    """A peer that was asked what it holds, or for which what it lacks is being read, since `now`."""
    peer = streaming()
    if state is State.PROBING:
        peer.probe(3, START, 9, now)
    else:
        peer.catch_up(START, now)
    return peer


def test_a_new_peer_is_away_and_is_sent_nothing() -> None:
    peer = Peer("a/1", Member("a", "1"), START, 0.0)
    assert not peer.connected
    assert not peer.has_room(1 << 20)
    assert not peer.expects(5)
    assert not peer.wants_heartbeat(100.0)
    assert not peer.wants_fetch()
    assert not peer.is_stuck(100.0)


def test_the_lease_counts_from_when_the_answered_message_was_sent() -> None:
    peer = streaming(now=1.0)
    assert peer.acknowledged_send == 1.0
    peer.sends(2, 10, 2.0)
    peer.sends(3, 10, 3.0)
    peer.acknowledge(3, 9.0, leased=True)
    assert peer.acknowledged_send == 3.0
    assert peer.heard_at == 9.0


def test_an_answer_that_renewed_no_lease_or_comes_twice_moves_no_lease() -> None:
    peer = streaming()
    peer.sends(2, 10, 2.0)
    peer.acknowledge(2, 2.5, leased=False)
    peer.acknowledge(2, 2.6, leased=True)
    peer.acknowledge(7, 2.7, leased=True)
    assert peer.acknowledged_send == 0.0


def test_what_was_on_its_way_over_a_lost_connection_is_never_answered() -> None:
    peer = streaming()
    peer.sends(2, 10, 5.0)
    peer.disconnect()
    peer.probe(3, START, 3, 6.0)
    peer.acknowledge(2, 6.0, leased=True)
    assert peer.acknowledged_send == 0.0


def test_an_answer_to_one_message_says_nothing_of_when_earlier_ones_renewed() -> None:
    peer = streaming()
    peer.sends(2, 10, 2.0)
    peer.sends(3, 10, 3.0)
    peer.acknowledge(3, 4.0, leased=False)
    assert peer.acknowledged_send == 0.0


def test_only_so_many_bytes_are_on_their_way() -> None:
    peer = streaming()
    assert peer.has_room(100)
    peer.sends(2, 60, 0.0)
    assert peer.has_room(100)
    peer.sends(3, 60, 0.0)
    assert not peer.has_room(100)
    peer.acknowledge(2, 0.1, leased=True)
    assert peer.has_room(100)
    peer.disconnect()
    assert not peer.has_room(100)


@pytest.mark.parametrize("state", [State.PROBING, State.CATCHING_UP])
def test_nothing_is_streamed_to_a_peer_of_which_it_is_not_known_what_it_holds(state: State) -> None:
    peer = busy(state, 0.0)
    assert peer.state is state
    assert not peer.has_room(1 << 20)
    assert not peer.wants_heartbeat(10.0)


def test_answers_to_what_was_sent_before_a_probe_are_not_expected() -> None:
    peer = streaming()
    peer.sends(2, 10, 0.0)
    peer.probe(3, START, 3, 0.0)
    assert not peer.expects(2)
    assert peer.expects(3)
    peer.disconnect()
    assert not peer.expects(3)


def test_what_was_read_for_a_peer_is_what_its_next_answer_should_be_to() -> None:
    peer = streaming()
    peer.catch_up(START, 1.0)
    peer.sends_fetched(5, START, 1.0)
    assert (peer.place, peer.sent) == (START, START)
    assert not peer.expects(4)
    assert peer.expects(5)
    peer.stream_from(4, START)
    assert (peer.place, peer.sent, peer.next) == (None, None, 4)


def test_a_peer_is_stuck_when_the_oldest_message_has_no_answer_and_nothing_else_was_heard() -> None:
    peer = streaming()
    assert not peer.is_stuck(100.0)
    peer.sends(2, 10, 1.0)
    peer.sends(3, 10, 2.0)
    assert not peer.is_stuck(0.99 + OVERDUE)
    assert peer.is_stuck(1.01 + OVERDUE)
    peer.heard(2.0)
    assert not peer.is_stuck(1.99 + OVERDUE)
    peer.acknowledge(2, 2.0, leased=True)
    peer.acknowledge(3, 2.0, leased=True)
    assert not peer.is_stuck(100.0)


@pytest.mark.parametrize("state", [State.PROBING, State.CATCHING_UP])
def test_a_question_or_a_read_that_is_not_answered_is_stuck_too(state: State) -> None:
    peer = busy(state, 5.0)
    assert not peer.is_stuck(4.99 + OVERDUE)
    assert peer.is_stuck(5.01 + OVERDUE)


def test_a_heartbeat_is_due_when_nothing_was_sent_for_a_while() -> None:
    peer = streaming()
    peer.sends(2, 10, 1.0)
    assert not peer.wants_heartbeat(0.99 + HEARTBEAT_SECONDS)
    assert peer.wants_heartbeat(1.01 + HEARTBEAT_SECONDS)


def test_a_read_that_came_to_nothing_is_tried_again_unless_the_disk_is_full() -> None:
    peer = streaming()
    peer.catch_up(START, 0.0)
    assert not peer.wants_fetch()
    peer.stall()
    assert peer.wants_fetch()
    peer.fill(0.0)
    assert not peer.wants_fetch()
    assert peer.wants_heartbeat(1.0)
    peer.acknowledge(9, 1.0, leased=True, room=True)
    assert peer.wants_fetch()


def test_a_full_peer_gets_nothing_until_it_says_that_there_is_room() -> None:
    peer = streaming()
    peer.fill(1.0)
    assert (peer.low, peer.full, peer.heard_at) == (True, True, 1.0)
    assert not peer.has_room(100)
    peer.acknowledge(2, 2.0, leased=True, room=False)
    assert (peer.low, peer.full) == (True, True)
    peer.acknowledge(3, 3.0, leased=True, room=True)
    assert (peer.low, peer.full) == (False, False)
    assert peer.has_room(100)


def test_a_peer_with_little_room_is_still_sent_what_there_is() -> None:
    peer = streaming()
    peer.acknowledge(2, 2.0, leased=True, room=False)
    assert (peer.low, peer.full) == (True, False)
    assert peer.has_room(100)


def test_who_answers_anything_does_not_refuse_any_more() -> None:
    peer = streaming()
    peer.refuses = True
    peer.heard(1.0)
    assert not peer.refuses


def test_replicas_are_told_of_a_confirmation_at_once_when_they_stream() -> None:
    replica = Peer("r", None, START, 0.0)
    assert not replica.is_streaming_learner
    replica.stream_from(0, START)
    assert replica.is_streaming_learner
    assert not streaming().is_streaming_learner
