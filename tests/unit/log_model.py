"""Makes valid records at random, and says by slow, obvious means what a journal holds after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from tests.unit.log_disk import Disk

from raylite.actors.core.base import Base
from raylite.actors.core.piece import Header, Kind, Pages, describe, encode
from raylite.actors.core.store import (
    StoreBase,
    StoreConfirmed,
    StoreCut,
    StoreDropped,
    StoreFounded,
    StoreGaveUp,
    StorePiece,
    StorePromise,
)
from raylite.actors.storage.log_directory import Owner
from raylite.actors.storage.log_file import Journal
from raylite.actors.storage.log_records import Change, Record, StoreJoined
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.quorum import Member, Members

OWNER = Owner("follower:1", "system")
DIRECTORY = Path("/journal")
DATABASES = ("a", "b", "database-with-a-longer-id")


@dataclass
class Held:
    """One database. pieces: (place, whether it completes its entry, bytes)."""

    incarnation: str = ""
    members: Members | None = None
    promised: int = 0
    confirmed: Bookmark | None = None
    base: Bookmark | None = None
    pieces: list[tuple[Bookmark, bool, bytes]] = field(default_factory=list[tuple[Bookmark, bool, bytes]])
    gave_up: bool = False
    dropped: bool = False

    def end(self, database: str) -> Bookmark:
        return self.pieces[-1][0] if self.pieces else self.base or origin(database)

    def begin_behind(self, base: Base) -> None:
        """What follows the base stays, if it is there."""
        places = [place for place, _, _ in self.pieces]
        self.pieces = self.pieces[places.index(base.place) + 1 :] if base.place in places else []
        self.base, self.members = base.place, base.members
        assert self.confirmed is not None
        self.confirmed = max(self.confirmed, base.place, key=lambda place: place.sequence)

    def copy(self) -> Held:
        """One that may change by itself; what it consists of never changes."""
        return replace(self, pieces=list(self.pieces))

    def trimmed(self) -> Held:
        """Without the pieces of an entry that is not complete."""
        kept = self.copy()
        while kept.pieces and not kept.pieces[-1][1]:
            kept.pieces.pop()
        return kept


State = dict[str, Held]


def apply(state: State, record: Record) -> None:
    """The state after one more record."""
    held = state.setdefault(record.database, Held())
    match record.change:
        case StoreJoined(incarnation):
            start = origin(record.database)
            state[record.database] = Held(incarnation, confirmed=start, base=start)
        case StoreFounded(members):
            held.members = members
        case StorePromise(epoch):
            held.promised = epoch
        case StorePiece(piece, encoded):
            held.pieces.append((piece.place, piece.last, encoded))
        case StoreCut(place):
            while held.end(record.database) != place:
                held.pieces.pop()
        case StoreConfirmed(confirmed):
            held.confirmed = confirmed
        case StoreBase(base):
            held.begin_behind(base)
        case StoreGaveUp():
            held.gave_up, held.pieces = True, []
            held.confirmed = held.base = origin(record.database)
        case StoreDropped():
            start = origin(record.database)
            state[record.database] = Held(held.incarnation, confirmed=start, base=start, dropped=True)


def copied(state: State) -> State:
    """One that may change by itself."""
    return {database: held.copy() for database, held in state.items()}


def trimmed(state: State) -> State:
    """What a start makes of it."""
    return {database: held.trimmed() for database, held in state.items()}


def observe(journal: Journal) -> State:
    """What a journal says it recovered, with the bytes that it reads back."""
    found: State = {}
    for database, one in journal.recovered.items():
        contents = journal.read_many([location for _, location in one.pieces])
        pieces = [
            (piece.place, piece.last, data) for (piece, _), data in zip(one.pieces, contents, strict=True)
        ]
        assert one.database == database
        found[database] = Held(
            one.incarnation,
            one.members,
            one.promised,
            one.confirmed,
            one.base,
            pieces,
            one.gave_up,
            one.dropped,
        )
    return found


def make_piece(end: Bookmark, *, epoch: int, sequence: int, number: int, last: bool, size: int) -> StorePiece:
    """A piece behind `end`; its one page has `size` bytes that depend on its place."""
    page = Random(f"{end}{epoch}{number}").randbytes(size)
    header = Header(Kind.WRITE, last, epoch, sequence, number, 0, size, 1)
    encoded = encode(header, Pages((1,), (page,)))
    return StorePiece(describe(end, encoded), encoded)


def entry(database: str, end: Bookmark, *, epoch: int = 1, pieces: int = 1, size: int = 512) -> list[Record]:
    """A whole entry behind `end`."""
    made: list[Record] = []
    sequence = end.sequence + 1
    for number in range(pieces):
        stored = make_piece(
            end, epoch=epoch, sequence=sequence, number=number, last=number == pieces - 1, size=size
        )
        made.append(Record(database, stored))
        end = stored.piece.place
    return made


def entries(database: str, count: int, *, end: Bookmark | None = None, size: int = 512) -> list[Record]:
    """`count` entries of one piece each, behind `end` or as the first ones."""
    made: list[Record] = []
    end = end or origin(database)
    for _ in range(count):
        made += entry(database, end, size=size)
        change = made[-1].change
        assert isinstance(change, StorePiece)
        end = change.piece.place
    return made


def place_of(record: Record) -> Bookmark:
    """The place of the piece in this record."""
    assert isinstance(record.change, StorePiece)
    return record.change.piece.place


def begin(database: str) -> list[Record]:
    """A database's first records."""
    members = Members((Member("follower:1", f"incarnation of {database}"),))
    return [
        Record(database, StoreJoined(f"incarnation of {database}")),
        Record(database, StoreFounded(members)),
        Record(database, StorePromise(1)),
    ]


class Writer:
    """Makes the next records, valid after `state`."""

    def __init__(self, random: Random, state: State) -> None:
        self._random = random
        self.state = state

    def batch(self) -> list[Record]:
        """Some records, each valid after the ones before; `state` is the one after them."""
        made: list[Record] = []
        for _ in range(self._random.randint(1, 4)):
            for record in self._next(self._random.choice(DATABASES)):
                apply(self.state, record)
                made.append(record)
        return made

    def _next(self, database: str) -> Sequence[Record]:
        held = self.state.get(database)
        if held is None or held.gave_up:
            return begin(database)
        if held.dropped:
            return []
        choice = self._random.random()
        if choice < 0.6:
            return [Record(database, self._piece(database, held))]
        if choice < 0.8:
            return [Record(database, change) for change in self._confirm(database, held)]
        if choice < 0.87:
            return [Record(database, change) for change in self._base(held)]
        if choice < 0.92:
            return [Record(database, StorePromise(held.promised + self._random.randint(1, 3)))]
        if choice < 0.98:
            return [Record(database, change) for change in self._cut(database, held)]
        return [Record(database, StoreGaveUp() if choice < 0.99 else StoreDropped())]

    def _piece(self, database: str, held: Held) -> StorePiece:
        end = held.end(database)
        last = self._random.random() < 0.7
        size = self._random.choice((512, 1024, 4096))
        if held.pieces and not held.pieces[-1][1]:
            whole = [piece[1] for piece in held.pieces]
            number = len(whole) - max((index + 1 for index, done in enumerate(whole) if done), default=0)
            return make_piece(
                end, epoch=end.epoch, sequence=end.sequence, number=number, last=last, size=size
            )
        epoch = max(held.promised, end.epoch)
        return make_piece(end, epoch=epoch, sequence=end.sequence + 1, number=0, last=last, size=size)

    def _confirm(self, database: str, held: Held) -> list[Change]:
        assert held.confirmed is not None
        above = [place for place, last, _ in held.pieces if last and place.sequence > held.confirmed.sequence]
        return [StoreConfirmed(self._random.choice(above))] if above else []

    def _base(self, held: Held) -> list[Change]:
        """Behind a confirmed entry of the log, or now and then behind one that it never had."""
        assert held.confirmed is not None
        if held.members is None:
            return []
        whole = [
            place for place, last, _ in held.pieces if last and place.sequence <= held.confirmed.sequence
        ]
        if self._random.random() < 0.15:
            sequence = held.confirmed.sequence + self._random.randint(1, 20)
            digest = self._random.randbytes(12)
            place = Bookmark(held.confirmed.epoch, sequence, held.confirmed.history, digest)
            return [StoreBase(Base(place, held.members, ((1, 1),), 5))]
        return [StoreBase(Base(self._random.choice(whole), held.members))] if whole else []

    def _cut(self, database: str, held: Held) -> list[Change]:
        assert held.confirmed is not None
        places = [held.base or origin(database), *(place for place, _, _ in held.pieces)]
        cuttable = places[places.index(held.confirmed) : -1]
        return [StoreCut(self._random.choice(cuttable))] if cuttable else []


def opened(disk: Disk, *, segment_bytes: int = 24 << 10) -> Journal:
    """The journal on this disk."""
    return Journal.open(DIRECTORY, OWNER, disk, segment_bytes=segment_bytes, lock_seconds=0, salt=disk.salt)
