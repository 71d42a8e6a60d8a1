"""Reads a journal at its start: what every database holds, what is damaged, what must be written anew.

Damage and a torn tail differ by one place in the newest segment: before it everything was once synced, so a bad
record there is damage, and the databases that it concerns are given up, the others go on. Behind it the journal ends
at the first bad record, for an unsynced batch reaches the disk in any order; and the records up to there may be in
the system's memory alone, even after a sync that failed. They are copied into a new segment and synced with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from raylite.actors.core.store import StoreCut, StoreGaveUp
from raylite.actors.storage import log_checkpoint
from raylite.actors.storage.files import Files
from raylite.actors.storage.log_records import Encoder, Kind, Location, Parts, Record, take_apart
from raylite.actors.storage.log_scan import Bad, Good, Scan, read_header, scan
from raylite.actors.storage.log_segment import FIRST, Header, path_of
from raylite.actors.storage.log_state import Recovered
from raylite.policies.errors import Corrupt


class Fresh(msgspec.Struct, frozen=True):
    """The segment to go on with. body: its first records; databases: ids in them.

    last: the segment that was the newest, 0 if there is no readable one; last_end: where its last live record ends.
    """

    header: Header
    body: bytes
    databases: frozenset[bytes]
    last: int = 0
    last_end: int = 0


class Recovery:
    """Applies segments in order. `states`: every database that the journal knows; `salts`: by segment."""

    def __init__(self) -> None:
        self.states: dict[str, Recovered] = {}
        self.salts: dict[int, bytes] = {}

    def run(self, files: Files, directory: Path, numbers: Sequence[int], salt: bytes) -> Fresh:
        """Reads the checkpoint and all segments, if any; what is returned must be durable before `states` are used."""
        checkpoint = log_checkpoint.read(files, directory)
        if checkpoint is not None:
            self.states = {kept.database: Recovered.kept(kept) for kept in checkpoint.databases}
            old = [number for number in numbers if number < checkpoint.first]
            log_checkpoint.remove_before(files, directory, [path_of(directory, number) for number in old])
            numbers = numbers[len(old) :]
        return self._read(files, directory, numbers, salt, checkpoint.first if checkpoint else 1)

    def _read(self, files: Files, directory: Path, numbers: Sequence[int], salt: bytes, first: int) -> Fresh:
        headers = [read_header(files, directory, number) for number in numbers]
        newest: Scan | None = None
        for before, number, header, following in zip(
            [first - 1, *numbers], numbers, headers, [*headers[1:], None], strict=False
        ):
            if header is not None and header.previous != before:
                self._lose(list(self.states))  # the segment between them is gone
            adjacent = following is not None and following.previous == number
            newest = scan(files, directory, number, following if adjacent else None)
            self._replay(newest)
        return self._begin(salt, first) if newest is None else self._continue(newest, salt)

    def _begin(self, salt: bytes, first: int) -> Fresh:
        self._lose(list(self.states))
        self.salts[first] = salt
        return Fresh(Header(first, salt, first - 1), b"", frozenset())

    def _replay(self, scanned: Scan) -> None:
        """Applies what was certainly synced in one segment, then gives up what is damaged in it."""
        if scanned.header is None:
            self._lose(list(self.states))
            return
        self.salts[scanned.number] = scanned.header.salt
        lost: set[str] = set()
        for item in scanned.items:
            if item.start >= scanned.synced:
                break
            if isinstance(item, Bad):
                lost |= self._concerned(item, scanned)
            elif item.head.kind != Kind.SYNCED:
                location = Location(scanned.number, item.start, item.head.end - item.start)
                self._apply(item, location, lost)
        self._lose(lost)

    def _concerned(self, bad: Bad, scanned: Scan) -> frozenset[str]:
        """Whose records the bad bytes may have held: with no sound head, of every database of the segment."""
        if bad.database is not None:
            return frozenset((bad.database,))
        if scanned.databases > len(scanned.seen):
            return scanned.seen.union(self.states)  # one of them has no other record here, and may be any
        return scanned.seen

    def _apply(self, item: Good, location: Location, lost: set[str]) -> None:
        database = item.head.database
        if item.head.kind == Kind.DROPPED:
            lost.discard(database)
        if database in lost:
            return
        try:
            self._state(database).replay(item.head.kind, item.payload, location)
        except Corrupt:
            lost.add(database)

    def _continue(self, scanned: Scan, salt: bytes) -> Fresh:
        header = _successor(scanned, salt)
        self.salts[header.number] = salt
        databases: set[bytes] = set()
        encoder = Encoder(header.number, salt, FIRST, FIRST, databases)
        lost: set[str] = set()
        for item in scanned.live:
            if item.head.kind != Kind.SYNCED:
                kind, database = Kind(item.head.kind), item.head.database.encode()
                self._apply(item, encoder.add(Parts(kind, database, b"", item.payload)), lost)
        self._lose(lost)
        self._tidy(encoder)
        header = msgspec.structs.replace(header, synced=encoder.end, databases=len(databases))
        last = scanned.number if scanned.header is not None else 0
        return Fresh(header, encoder.take(), frozenset(databases), last, scanned.end)

    def _tidy(self, encoder: Encoder) -> None:
        """No log ends inside an entry, and whoever was given up stays so."""
        for state in self.states.values():
            state.settle()
            if state.end != state.tail:
                cut = StoreCut(state.tail)
                state.apply(cut, encoder.add(take_apart(Record(state.database, cut))))
            if state.gave_up and not state.noted:
                encoder.add(take_apart(Record(state.database, StoreGaveUp())))

    def _state(self, database: str) -> Recovered:
        state = self.states.get(database)
        if state is None:
            state = self.states[database] = Recovered(database)
        return state

    def _lose(self, databases: Iterable[str]) -> None:
        for database in databases:
            self._state(database).lose()


def _successor(scanned: Scan, salt: bytes) -> Header:
    """The header of the segment behind `scanned`, or of the one in its place if nothing in it was ever synced."""
    old = scanned.header
    if old is not None and scanned.synced == FIRST:
        return msgspec.structs.replace(old, salt=salt, synced=FIRST, databases=0)
    return Header(scanned.number + 1, salt, scanned.number, scanned.synced, scanned.databases)
