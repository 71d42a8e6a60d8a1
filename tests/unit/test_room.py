"""What a follower without room says, and what a leader makes of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from raylite.actors.core import leader as lead
from raylite.actors.core import messages as m
from raylite.actors.core.follower import FollowerLog, Reply, refusal_for_room
from raylite.actors.core.history import History
from raylite.actors.core.leader import Leader
from raylite.actors.core.log import LogIndex
from raylite.actors.core.peer import peer_of
from raylite.actors.core.queries import Queries, Waiting
from raylite.actors.core.shipping import Ship
from raylite.actors.core.takeover import Adopted
from raylite.actors.storage.entries import EntryWriter, Made
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import OutcomeUnknown, StorageFull
from raylite.policies.limits import HEARTBEAT_SECONDS
from raylite.policies.quorum import Member, Members

MEMBERS = Members(tuple(Member(f"follower:{n}", f"i{n}") for n in range(5)))
PEERS = [peer_of(one) for one in MEMBERS.current]
ORIGIN = origin("db")
ADOPTED = Adopted(3, ORIGIN, ORIGIN, MEMBERS.current[0], MEMBERS, (), 0)


class Reign:
    """A leader whose followers have confirmed its first entry; what it last sent to each."""

    def __init__(self) -> None:
        self.now = 100.0
        self.leader = Leader("db", ADOPTED, self.now)
        self.writer = EntryWriter(3, ORIGIN, 0, lambda: 1)
        self.sent: dict[str, Ship] = {}
        for peer in PEERS:
            self.take(self.leader.connected(peer, self.now))
            self.answer(peer)
        self.propose(self.writer.empty())
        for peer in PEERS:
            self.answer(peer)

    def take(self, effects: Sequence[lead.Effect]) -> None:
        self.sent |= {one.peer: one for one in effects if isinstance(one, Ship)}

    def propose(self, made: Made) -> None:
        self.take(self.leader.propose([made.piece], self.now))

    def write(self) -> None:
        self.propose(next(self.writer.write(4096, 1, [(1, 1)], lambda _: bytes(4096))))

    def answer(self, peer: str, *, room: bool = True) -> None:
        ship = self.sent[peer]
        reply = m.Appended("db", ship.number, 3, ship.place, True, room)
        self.take(self.leader.received(peer, reply, self.now))

    def fill(self, peer: str) -> None:
        """It refuses what it was sent last, and says where its log ends when it is probed."""
        self.take(self.leader.received(peer, m.NoRoom("db", self.sent[peer].number, 3), self.now))

    def mismatch(self, peer: str, tail: Bookmark) -> None:
        reply = m.Mismatch("db", self.sent[peer].number, 3, tail, self.leader.confirmed)
        self.take(self.leader.received(peer, reply, self.now))

    def pass_time(self, seconds: float = HEARTBEAT_SECONDS + 0.01) -> None:
        self.now += seconds
        self.take(self.leader.tick(self.now))


def test_a_follower_says_in_each_answer_whether_it_has_room() -> None:
    log = FollowerLog("db", "i0", LogIndex(ORIGIN, MEMBERS), started=0.0)
    heartbeat = m.Append("db", "i0", 1, 1, "dir", ORIGIN, [], ORIGIN, ORIGIN)
    for room in (True, False):
        log.has_room = room
        (answer,) = [one.message for one in log.receive(heartbeat, None, 10.0) if isinstance(one, Reply)]
        assert isinstance(answer, m.Appended)
        assert answer.room is room


def test_what_a_full_disk_kept_from_being_stored_is_vouched_for_by_nobody() -> None:
    promised = m.Promised("db", 7, 4, ORIGIN, ORIGIN, ORIGIN, MEMBERS)
    assert refusal_for_room(m.Appended("db", 5, 3, ORIGIN)) == m.NoRoom("db", 5, 3)
    assert refusal_for_room(promised) == m.NoRoom("db", 7, 4)
    assert refusal_for_room(m.Joined("db", "i0")) is None


def test_writes_are_begun_while_a_quorum_of_those_who_answer_has_room() -> None:
    reign = Reign()
    for count, peer in enumerate(PEERS[:3], 1):
        reign.pass_time()
        reign.answer(peer, room=False)
        assert reign.leader.voters.has_room(reign.now) == (count < 3)
        assert reign.leader.voters.can_store(reign.now)
        assert reign.leader.voters.has_quorum(reign.now)
    assert reign.leader.voters.low == ["follower:0", "follower:1", "follower:2"]
    reign.pass_time()
    reign.answer(PEERS[0])
    assert reign.leader.voters.has_room(reign.now)


def test_a_follower_with_little_room_is_still_sent_what_is_under_way() -> None:
    reign = Reign()
    reign.pass_time()
    reign.answer(PEERS[0], room=False)
    reign.write()
    assert reign.sent[PEERS[0]].end == reign.leader.window.end


def test_a_full_follower_gets_heartbeats_alone_until_it_has_room_and_then_all_that_it_missed() -> None:
    reign = Reign()
    held = reign.leader.window.place(reign.leader.window.end)
    reign.write()
    reign.fill(PEERS[0])
    reign.mismatch(PEERS[0], held)
    reign.write()
    for _ in range(3):
        reign.pass_time()
        beat = reign.sent[PEERS[0]]
        assert (beat.first, beat.place) == (beat.end, held)
        reign.answer(PEERS[0], room=False)
    assert reign.leader.may_answer(reign.now), "its heartbeats renew the lease as ever"
    reign.pass_time()
    reign.answer(PEERS[0])
    last = reign.sent[PEERS[0]]
    assert last.previous == held
    assert last.end == reign.leader.window.end


def test_a_refusal_is_no_acknowledgement() -> None:
    reign = Reign()
    before = reign.leader.confirmed
    reign.write()
    for peer in PEERS[:3]:
        reign.fill(peer)
    reign.answer(PEERS[3])
    reign.answer(PEERS[4])
    assert reign.leader.confirmed == before
    assert not reign.leader.voters.can_store(reign.now)


def test_a_primary_without_room_refuses_writes_at_once_and_reads_only_behind_what_cannot_be_confirmed() -> (
    None
):
    reign = Reign()
    queries = Queries("shop", reign.leader, History(ORIGIN))
    assert queries.refusal_of_writes(reign.now) is None
    reign.write()
    for peer in PEERS[:3]:
        reign.fill(peer)
    refusal = queries.refusal_of_writes(reign.now)
    assert isinstance(refusal, StorageFull)
    assert "follower:0, follower:1, follower:2" in str(refusal)
    with pytest.raises(StorageFull):
        queries.admit(None, reign.now)
    for peer in PEERS:
        reign.pass_time()
        reign.answer(peer)
        reign.answer(peer)
    queries.admit(None, reign.now)


def test_a_response_waits_as_long_as_its_followers_get_further_and_no_longer() -> None:
    """An entry of several pieces, of which a quorum stores one every four seconds, and then none."""
    reign = Reign()
    queries = Queries("shop", reign.leader, History(ORIGIN))
    pages = [(page, page) for page in range(1, 5 * (limits.PIECE_BYTES // 4096))]
    pieces = list(reign.writer.write(4096, len(pages), pages, lambda _: bytes(4096)))
    waiting = Waiting("token", pieces[-1].piece.place, True, reign.now + 60, reign.now)
    assert not queries.finished(waiting, reign.now)
    for made in pieces[:-1]:
        reign.propose(made)
        for _ in range(4):
            reign.pass_time(1.0)
            assert not queries.expire(reign.now)
        for peer in PEERS[:3]:
            reign.answer(peer)
    for _ in range(4):
        reign.pass_time(1.0)
        assert not queries.expire(reign.now)
    reign.pass_time(1.0)
    (response,) = queries.expire(reign.now)
    assert isinstance(response.error, OutcomeUnknown)


def test_a_response_waits_no_longer_than_its_caller() -> None:
    reign = Reign()
    queries = Queries("shop", reign.leader, History(ORIGIN))
    reign.write()
    mark = reign.leader.window.place(reign.leader.window.end)
    assert not queries.finished(Waiting("token", mark, True, reign.now + 1, reign.now), reign.now)
    reign.pass_time(1.0)
    assert queries.expire(reign.now)
