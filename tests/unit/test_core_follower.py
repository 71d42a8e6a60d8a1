"""A follower against what its disk would hold: whatever it says must be written before, and be there at a new start."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scenarios.names import DATABASE, Entries, members_of

from raylite.actors.core import follower as core
from raylite.actors.core import messages as m
from raylite.actors.core import store
from raylite.actors.core.log import LogIndex
from raylite.actors.core.piece import Piece, describe
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.limits import LEASE_SECONDS

MEMBERS = members_of("a,b,c")
START = origin(DATABASE)
LOGS = ["1/1", "1/2", "1/3*2"], ["2/2", "2/3", "2/4"], ["3/3", "3/4{a,b,c|b,c,d}", "3/5"]
BRANCH_AT = {1: "0/0", 2: "1/1", 3: "2/2"}
CONFIRMED = ["0/0", "1/1", "2/2", "3/3", "3/4", "3/5"]


class Disk:
    """What was stored, in order, with what it leads to."""

    def __init__(self, start: Bookmark) -> None:
        self.start = start
        self.pieces: list[Piece] = []
        self.promised, self.confirmed = 0, start
        self.gave_up = False

    def write(self, effect: core.Effect) -> None:
        match effect:
            case store.StorePiece():
                assert describe(self.end, effect.encoded) == effect.piece
                self.pieces.append(effect.piece)
            case store.StoreCut():
                places = [self.start, *(piece.place for piece in self.pieces)]
                del self.pieces[places.index(effect.place) :]
            case store.StorePromise():
                assert effect.epoch > self.promised
                self.promised = effect.epoch
            case store.StoreConfirmed():
                assert effect.confirmed.sequence > self.confirmed.sequence
                assert effect.confirmed in [piece.place for piece in self.pieces if piece.last]
                self.confirmed = effect.confirmed
            case store.StoreGaveUp():
                self.gave_up = True
            case _:
                raise AssertionError(f"not expected: {effect}")

    @property
    def end(self) -> Bookmark:
        return self.pieces[-1].place if self.pieces else self.start


class Leaders:
    """Three leaders' logs, each with a branch of its own: the second adopted 1/1, the third 2/2."""

    def __init__(self) -> None:
        self.entries = Entries()
        self.places: dict[int, list[Bookmark]] = {}
        self.encoded: dict[int, list[bytes]] = {}
        for epoch, texts in enumerate(LOGS, 1):
            self.entries.make(self.entries.places[BRANCH_AT[epoch]], texts)
            path = self.entries.path(texts[-1].partition("*")[0])
            self.places[epoch] = [START, *(piece.place for piece in path)]
            self.encoded[epoch] = [self.entries.encoded(self.entries.found(piece.place)) for piece in path]

    def append(self, data: st.DataObject, number: int) -> m.Append:
        """Some run of one leader's log, with some mark that it may have confirmed by then."""
        epoch = data.draw(st.integers(1, 3))
        places, encoded = self.places[epoch], self.encoded[epoch]
        first = data.draw(st.integers(0, len(encoded)))
        end = data.draw(st.integers(first, len(encoded)))
        confirmed = [place for place in map(self.entries.places.__getitem__, CONFIRMED) if place in places]
        return m.Append(
            DATABASE, "a.1", number, epoch, directory(epoch), places[first], encoded[first:end], places[end],
            data.draw(st.sampled_from(confirmed)),
        )  # fmt: skip


def request(data: st.DataObject, number: int) -> m.Append | m.Promise:
    """An append of some leader, or somebody's wish to become one."""
    if data.draw(st.booleans()):
        return LEADERS.append(data, number)
    epoch = data.draw(st.integers(1, 6))
    return m.Promise(DATABASE, "a.1", number, epoch, directory(epoch))


def directory(epoch: int) -> str:
    """Two leaders in turn hold one directory."""
    return f"directory {epoch % 2}"


LEADERS = Leaders()


@given(st.data())
@settings(max_examples=50)
def test_what_a_follower_says_is_on_its_disk(data: st.DataObject) -> None:
    disk, now = Disk(START), 0.0
    log = core.FollowerLog(DATABASE, "a.1", LogIndex(START, MEMBERS), started=now)
    for number in range(data.draw(st.integers(1, 10))):
        now += data.draw(st.sampled_from([0.0, 0.5, 2.0]))
        message = request(data, number)
        effects = [*log.receive(message, None, now), *log.tick(now)]
        for effect in effects:
            if isinstance(effect, core.Reply):
                check_reply(disk, effect.message)
            else:
                disk.write(effect)
        check_state(log, disk)


def check_reply(disk: Disk, reply: m.FromFollower) -> None:
    """Everything that an answer vouches for was written before it."""
    places = [disk.start, *(piece.place for piece in disk.pieces)]
    match reply:
        case m.Appended():
            assert disk.promised >= reply.epoch
            assert reply.place in places
        case m.Promised():
            ends = [disk.start, *(piece.place for piece in disk.pieces if piece.last)]
            assert disk.promised == reply.epoch
            assert reply.tail == ends[-1]
            assert reply.confirmed == disk.confirmed
        case m.Refused():
            assert disk.promised == reply.epoch
        case m.Mismatch():
            assert disk.promised == reply.epoch
            assert reply.tail in places
        case m.Unknown():
            assert disk.gave_up
        case _:
            raise AssertionError(f"not expected: {reply}")


def check_state(log: core.FollowerLog, disk: Disk) -> None:
    """A follower that starts from the disk is the same."""
    assert log.gave_up == disk.gave_up
    if log.gave_up:
        return
    again = LogIndex(disk.start, MEMBERS, disk.pieces)
    assert log.index.pieces == again.pieces
    assert (log.index.tail, log.index.members, log.index.epochs) == (again.tail, again.members, again.epochs)
    assert (log.promised, log.confirmed) == (disk.promised, disk.confirmed)


@given(st.data())
@settings(max_examples=50)
def test_no_promise_is_given_to_another_while_a_lease_runs(data: st.DataObject) -> None:
    """A leader of a higher epoch proves that the lease of the one before is over: a quorum has waited for that."""
    log = core.FollowerLog(DATABASE, "a.1", LogIndex(START, MEMBERS), started=0.0)
    now, until, holder, epoch = 0.0, 0.0, "", 0
    for number in range(data.draw(st.integers(1, 10))):
        now += data.draw(st.sampled_from([0.0, 0.3, 1.1]))
        message = request(data, number)
        for effect in [*log.receive(message, message, now), *log.tick(now)]:
            match effect:
                case core.Reply(to=m.Append() as asked, message=m.Appended(leased=True)):
                    until, holder, epoch = now + LEASE_SECONDS, asked.directory, asked.epoch
                case core.Reply(to=m.Append() as asked, message=m.Mismatch()) if asked.epoch > epoch:
                    until, epoch = now, asked.epoch
                case core.Reply(to=m.Promise() as asked, message=m.Promised()):
                    assert now >= until or holder == asked.directory
                case _:
                    pass


def test_a_full_disk_is_told_instead_of_what_could_not_be_stored() -> None:
    told: list[m.FromFollower] = [
        m.Appended(DATABASE, 7, 3, START), m.Mismatch(DATABASE, 7, 3, START, START), m.Refused(DATABASE, 7, 3),
        m.Promised(DATABASE, 7, 3, START, START, START, MEMBERS),
    ]  # fmt: skip
    assert [core.refusal_for_room(one) for one in told] == [m.NoRoom(DATABASE, 7, 3)] * 4
    assert core.refusal_for_room(m.Joined(DATABASE, "a.1")) is None


def test_a_leader_is_missed_when_the_lease_that_it_was_given_is_over_and_was_not_released() -> None:
    log = core.FollowerLog(DATABASE, "a.1", LogIndex(START, MEMBERS), promised=1, started=0.0)
    assert log.missed_seconds(100.0) == 0.0
    beat = m.Append(DATABASE, "a.1", 1, 1, directory(1), START, [], START, START)
    log.receive(beat, None, 10.0)
    assert log.missed_seconds(11.0) == 0.0
    assert log.missed_seconds(13.0 + LEASE_SECONDS) == 3.0
    log.receive(m.Release(DATABASE, "a.1", 1), None, 15.0)
    assert log.missed_seconds(100.0) == 0.0
