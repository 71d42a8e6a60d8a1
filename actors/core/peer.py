"""What a leader knows of one peer: how far it agrees, and what is on its way to it."""

from __future__ import annotations

import enum
from collections import deque

from raylite.policies.bookmark import Bookmark
from raylite.policies.limits import HEARTBEAT_SECONDS, PEER_SILENCE_SECONDS, RETRY_SECONDS
from raylite.policies.quorum import Member


class State(enum.Enum):
    """AWAY: no connection; PROBING: it was asked what it holds; STREAMING: pieces follow each other from `next` on;
    CATCHING_UP: what it misses is read from a follower."""

    AWAY = enum.auto()
    PROBING = enum.auto()
    STREAMING = enum.auto()
    CATCHING_UP = enum.auto()


def peer_of(member: Member) -> str:
    """The peer id of a follower: an incarnation is made once, so no two logs share it."""
    return f"{member.follower}/{member.incarnation}"


class Peer:
    """One follower (`member`) or replica (None).

    `next` is the ordinal that it gets next, `next_place` where all before it ends.
    Invariants: everything below ordinal `acked` is held and, by a follower, synced; answers to what was sent before
    the newest probe (`numbers_from`) move nothing but `acked` and the lease. `refuses`: it says that it does not
    know this database, or gave it up. `low`: it says that its disk has little room; `full`: it refused something
    for that, and is sent no more pieces until it says that there is room.
    """

    def __init__(self, peer_id: str, member: Member | None, place: Bookmark, now: float) -> None:
        self.id, self.member = peer_id, member
        self.next_place = place
        self.state = State.AWAY
        self.next = 0
        self.acked = -1
        self.numbers_from = 0
        self.heard_at = now
        self.acknowledged_send = float("-inf")
        self.place: Bookmark | None = None
        self.sent: Bookmark | None = None
        self._sent_at = float("-inf")
        self._inflight: deque[tuple[int, int, float]] = deque()
        self._inflight_bytes = 0
        self._stalled = False
        self.refuses = self.low = self.full = False

    @property
    def connected(self) -> bool:
        """Whether messages can reach it."""
        return self.state is not State.AWAY

    @property
    def is_streaming_learner(self) -> bool:
        """A replica that should hear of a confirmation at once."""
        return self.member is None and self.state is State.STREAMING

    def has_room(self, inflight_bytes: int) -> bool:
        """Whether more may be on its way, of which so many bytes may be; one piece always may."""
        return self.state is State.STREAMING and self._inflight_bytes < inflight_bytes and not self.full

    def expects(self, number: int) -> bool:
        """Whether an answer to this message is to what was sent since the newest probe."""
        return self.connected and number >= self.numbers_from

    def answers(self, now: float) -> bool:
        """Whether it has answered lately."""
        return now - self.heard_at < PEER_SILENCE_SECONDS

    def is_stuck(self, now: float) -> bool:
        """Whether what was sent is overdue."""
        since = self._inflight[0][2] if self._inflight else now
        if self.state in (State.CATCHING_UP, State.PROBING):
            since = self._sent_at
        return self.connected and now - max(since, self.heard_at) > 4 * RETRY_SECONDS

    def wants_heartbeat(self, now: float) -> bool:
        """Whether it has been sent nothing for a while; one that is full and behind would be sent nothing else."""
        idle = self.state is State.STREAMING or (self.full and self.state is State.CATCHING_UP)
        return idle and now - self._sent_at >= HEARTBEAT_SECONDS

    def wants_fetch(self) -> bool:
        """Whether a read for it came to nothing and should be tried again."""
        return self.state is State.CATCHING_UP and self._stalled and not self.full

    def disconnect(self) -> None:
        """Nothing that was on its way will be answered."""
        self._reset(State.AWAY)

    def probe(self, end: int, place: Bookmark, number: int, now: float) -> None:
        """From `number` on, ask whether it holds everything below ordinal `end`, up to `place`."""
        self._reset(State.PROBING)
        self.next, self.next_place = end, place
        self.numbers_from, self._sent_at = number, now

    def stream_from(self, ordinal: int, place: Bookmark) -> None:
        """It holds everything below `ordinal`, which ends at `place`: go on from there."""
        self.state, self.next, self.next_place = State.STREAMING, ordinal, place
        self.place = self.sent = None

    def catch_up(self, after: Bookmark, now: float) -> None:
        """What follows `after` is being read for it."""
        self._reset(State.CATCHING_UP)
        self.place, self._sent_at = after, now

    def stall(self) -> None:
        """The read came to nothing; the next tick tries again."""
        self._stalled = True

    def sends(self, number: int, size: int, now: float) -> None:
        """A message leaves that carries `size` bytes."""
        self._inflight.append((number, size, now))
        self._inflight_bytes += size
        self._sent_at = now

    def sends_fetched(self, number: int, place: Bookmark, now: float) -> None:
        """What was read for it leaves."""
        self.sent, self.numbers_from, self._sent_at = place, number, now

    def acknowledge(self, number: int, now: float, *, leased: bool, room: bool = True) -> None:
        """It answered message `number`, so it has answered all before (a connection keeps their order).

        leased: by that message it renewed its lease; room: its disk has room.
        """
        self.heard(now)
        self.low, self.full = not room, self.full and not room
        while self._inflight and self._inflight[0][0] <= number:
            answered, size, sent_at = self._inflight.popleft()
            self._inflight_bytes -= size
            if answered == number and leased:
                self.acknowledged_send = max(self.acknowledged_send, sent_at)

    def fill(self, now: float) -> None:
        """It refused something because its disk is full."""
        self.heard(now)
        self.low = self.full = True

    def heard(self, now: float) -> None:
        """It answered something."""
        self.heard_at, self.refuses = now, False

    def _reset(self, state: State) -> None:
        self.state = state
        self._inflight.clear()
        self._inflight_bytes = 0
        self._stalled = False
        self.place = self.sent = None
