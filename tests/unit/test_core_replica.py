"""A replica against the file that it has written, and against the leader's log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.scenarios.names import DATABASE, Entries

from raylite.actors.core import messages as m
from raylite.actors.core import replica as core
from raylite.actors.core.piece import Piece, describe
from raylite.policies.bookmark import Bookmark

LOGS = ["1/1", "1/2*2", "1/3"], ["2/2", "2/3", "2/4*3"], ["3/3", "3/4", "3/5"]
BRANCH_AT = {1: "0/0", 2: "1/1", 3: "2/2"}
CONFIRMED = ["0/0", "1/1", "2/2", "3/3", "3/4", "3/5"]


class File:
    """What was written, and how much of it is shown."""

    def __init__(self, start: Bookmark) -> None:
        self.start, self.pieces, self.shown = start, list[Piece](), 0

    def places(self) -> list[Bookmark]:
        return [self.start, *(piece.place for piece in self.pieces)]

    def carry_out(self, effect: core.Effect) -> None:
        match effect:
            case core.Write():
                for piece, data in zip(effect.pieces, effect.encoded, strict=True):
                    assert describe(self.places()[-1], data) == piece
                    self.pieces.append(piece)
            case core.CutTo():
                kept = self.places().index(effect.place)
                assert kept >= self.shown, "readers have seen that"
                del self.pieces[kept:]
            case core.Publish():
                end = self.places().index(effect.place)
                assert end > self.shown, "shown twice"
                assert self.pieces[end - 1].last
                self.shown = end
            case core.Answer():
                if isinstance(effect.message, m.Appended):
                    assert effect.message.place in self.places()
            case core.Rebuild():
                raise AssertionError(f"nobody asked for it: {effect.reason}")


def leaders() -> tuple[Entries, dict[int, list[Piece]]]:
    """Three leaders' logs, each with a branch of its own: the second adopted 1/1, the third 2/2."""
    entries = Entries()
    for epoch, texts in enumerate(LOGS, 1):
        entries.make(entries.places[BRANCH_AT[epoch]], texts)
    return entries, {epoch: entries.path(texts[-1].partition("*")[0]) for epoch, texts in enumerate(LOGS, 1)}


ENTRIES, PATHS = leaders()


@given(st.data())
def test_what_a_replica_shows_is_confirmed_and_in_its_file(data: st.DataObject) -> None:
    start = ENTRIES.places["0/0"]
    file, log = File(start), core.ReplicaLog(DATABASE, start)
    allowed = [ENTRIES.places[name] for name in CONFIRMED]
    for number in range(data.draw(st.integers(1, 10))):
        epoch = data.draw(st.integers(1, 3))
        path = PATHS[epoch]
        places = [start, *(piece.place for piece in path)]
        first = data.draw(st.integers(0, len(path)))
        end = data.draw(st.integers(first, len(path)))
        mark = data.draw(st.sampled_from([place for place in allowed if place in places]))
        pieces = [ENTRIES.encoded(ENTRIES.found(piece.place)) for piece in path[first:end]]
        message = m.Append(DATABASE, "", number, epoch, "", places[first], pieces, places[end], mark)
        before = log.published
        for effect in log.receive(message):
            file.carry_out(effect)
        assert log.published in allowed
        assert log.published >= before
        assert log.published == before or log.published.sequence <= mark.sequence
        assert file.places()[file.shown] == log.published
        assert file.pieces[file.shown :] == log.held
        assert log.tail == file.places()[-1]
        assert log.history.end == log.published


def test_a_copy_that_could_not_write_holds_nothing_behind_what_it_shows() -> None:
    entries = Entries()
    first, second, third = entries.make(entries.places["0/0"], ["1/1", "1/2", "1/3"])
    log = core.ReplicaLog(DATABASE, first.place)
    data = [entries.encoded("1/2"), entries.encoded("1/3")]
    log.receive(m.Append(DATABASE, "", 1, 1, "", first.place, data, third.place, second.place))
    log.step_back(first.place)
    assert (log.published, log.tail) == (first.place, first.place)
    (answer,) = log.receive(m.Append(DATABASE, "", 2, 1, "", third.place, [], third.place, third.place))
    assert answer == core.Answer(m.Mismatch(DATABASE, 2, 1, first.place, first.place))
