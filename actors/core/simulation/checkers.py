"""Checkers that watch from outside: they know the disks and the answers, and nothing of what the cores believe.

An entry is safe once a quorum of each set of its members has synced it on behalf of the leader that made it: from then
on it, and all before it, must stay. Every violation begins with its checker's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from raylite.actors.core import store
from raylite.actors.core.simulation.disk import Record
from raylite.actors.core.simulation.entries import Made
from raylite.actors.core.simulation.history import Kind, Operation
from raylite.actors.core.simulation.requests import Answer
from raylite.policies.bookmark import Bookmark
from raylite.policies.quorum import Members, majority

MOST_VIOLATIONS = 20


class Checker:
    """The names of the checkers."""

    ACKNOWLEDGED = "acknowledged"
    """No acknowledged write is lost, none is there twice, and none that was refused."""
    ORDER = "order"
    """One log: all confirmations of a sequence name the same entry."""
    EPOCH = "epoch"
    """In an epoch one primary confirms."""
    KEPT = "kept"
    """No follower gives its log up, since no disk is damaged."""
    CONFIRMED = "confirmed"
    """Primaries confirm, and followers mark, only what is safe."""
    VISIBLE = "visible"
    """Nothing shows in an answer, on a replica or in a database file before it is safe."""
    SESSION = "session"
    """Sessions never go back, read their writes, write after what they read; answers are one snapshot each."""
    LINEAR = "linear"
    """A primary's answer is never older than what any primary told anyone before the question."""
    LEASE = "lease"
    """While a primary may answer reads by its lease, no later one confirms anything."""
    CONVERGED = "converged"
    """In the end all copies are the same."""
    STUCK = "stuck"
    """Once all faults are over, writes are acknowledged and copies catch up within bounded time."""
    DEADLINE = "deadline"
    """Whoever asks has an answer or an error by the deadline."""


class Entry(msgspec.Struct, frozen=True):
    """An entry that some primary made. write: 0 if it is none."""

    place: Bookmark
    previous: Bookmark
    members: Members
    write: int
    pages: Sequence[int]


class Checkers:
    """All that was seen, and what was wrong with it."""

    def __init__(self, start: Bookmark, members: Members) -> None:
        self.violations: list[str] = []
        self.start, self.first_members = start, members
        self.entries: dict[Bookmark, Entry] = {start: Entry(start, start, members, 0, ())}
        self.written: dict[int, Bookmark] = {}
        self.safe: dict[int, Bookmark] = {0: start}
        self.safe_end = 0
        self.operations: list[Operation] = []
        self.latest = 0
        self._voters: dict[Bookmark, set[str]] = {}
        self._confirmed: dict[int, Bookmark] = {0: start}
        self._confirmers: dict[int, str] = {}

    def violated(self, checker: str, what: str) -> None:
        """Notes a violation."""
        if len(self.violations) < MOST_VIOLATIONS:
            self.violations.append(f"{checker}: {what}")

    def is_safe(self, place: Bookmark) -> bool:
        """Whether this very entry can never be lost any more."""
        return self.safe.get(place.sequence) == place

    # What primaries make and followers sync

    def made(self, previous: Bookmark, made: Sequence[Made], operation: Operation | None) -> None:
        """A primary made an entry."""
        piece = made[-1].piece
        if previous not in self.entries:
            previous = next((one for one in self.entries if one.digest == previous.digest), self.start)
        members = piece.members or self.entries[previous].members
        write, pages = (operation.write, operation.pages) if operation else (0, ())
        self.entries[piece.place] = Entry(piece.place, previous, members, write, pages)
        if write:
            former = self.written.setdefault(write, piece.place)
            if not self.is_safe(former):
                self.written[write] = piece.place
        if piece.members and not piece.members.following:
            self._narrow(piece.place)

    def _narrow(self, place: Bookmark) -> None:
        """A change of members ends at this entry, which needs no quorum of the former set any more.

        If the entry that began it is safe, every later leader needs a quorum of the new set, so that set alone makes
        safe what lies between the two as well.
        """
        members, between = self.entries[place].members, list[Bookmark]()
        one = self.entries[place].previous
        while not self.is_safe(one):
            between.append(one)
            one = self.entries[one].previous
        if self.entries[one].members.following == members.current:
            for one in between:
                self.entries[one] = msgspec.structs.replace(self.entries[one], members=members)
                self._judge(one)

    def synced(self, incarnation: str, records: Sequence[Record]) -> None:
        """A follower has these on disk."""
        for record in records:
            change = record.change
            if not isinstance(change, store.StorePiece) or not change.piece.last:
                continue
            if change.piece.place.epoch == record.epoch:
                self._vote(incarnation, change.piece.place)

    def _vote(self, incarnation: str, place: Bookmark) -> None:
        self._voters.setdefault(place, set()).add(incarnation)
        self._judge(place)

    def _judge(self, place: Bookmark) -> None:
        voters = self._voters.get(place, set())
        if len(voters) >= 3 and not self.is_safe(place) and place in self.entries:
            sets = self.entries[place].members.sets
            if all(sum(one.incarnation in voters for one in part) >= majority(len(part)) for part in sets):
                self._become_safe(place)

    def _become_safe(self, place: Bookmark) -> None:
        while not self.is_safe(place):
            other = self.safe.get(place.sequence)
            if other is not None:
                self.violated(Checker.ORDER, f"a quorum each stored {other} and {place}")
                return
            self._check_once(place)
            self.safe[place.sequence] = place
            self.safe_end = max(self.safe_end, place.sequence)
            place = self.entries[place].previous

    def _check_once(self, place: Bookmark) -> None:
        """A write that is sent again may be run by several primaries, but is in the log once."""
        write = self.entries[place].write
        if not write:
            return
        if self.is_safe(self.written[write]):
            self.violated(Checker.ACKNOWLEDGED, f"write {write} is at {self.written[write]} and at {place}")
        self.written[write] = place

    # What cores believe

    def confirmed(self, primary: str, epoch: int, place: Bookmark) -> None:
        """A primary says that this entry is confirmed."""
        if not self.is_safe(place):
            self.violated(
                Checker.CONFIRMED, f"{primary} in epoch {epoch} confirmed {place}: no quorum has it"
            )
        other = self._confirmers.setdefault(epoch, primary)
        if other != primary:
            self.violated(Checker.EPOCH, f"{other} and {primary} both confirmed in epoch {epoch}")
        self._agree(place, primary)

    def marked(self, place: Bookmark, follower: str) -> None:
        """A follower's confirmed mark is at this entry."""
        if not self.is_safe(place):
            self.violated(Checker.CONFIRMED, f"{follower} marked {place}: no quorum has it")
        self._agree(place, follower)

    def _agree(self, place: Bookmark, who: str) -> None:
        other = self._confirmed.setdefault(place.sequence, place)
        if other != place:
            self.violated(Checker.ORDER, f"{who} confirmed {place}, but {other} was confirmed before")

    def shown(self, place: Bookmark, where: str) -> None:
        """Readers of a copy, or of a database file, see this entry."""
        if not self.is_safe(place):
            self.violated(Checker.VISIBLE, f"{where} shows {place}: no quorum has it")

    # What clients are told

    def answered(self, operation: Operation, answer: Answer, actor: str) -> None:
        """An answer, or an error of a statement, leaves."""
        if operation.kind is Kind.WRITE:
            place = self.written.get(operation.write)
            if place is None or not self.is_safe(place):
                what = f"{actor} acknowledged write {operation.write} at {place}: no quorum has it"
                self.violated(Checker.ACKNOWLEDGED, what)
        for write in (answer.seen, answer.value):
            place = self.written.get(write)
            if write and (place is None or not self.is_safe(place)):
                self.violated(Checker.VISIBLE, f"{actor} showed write {write} at {place}: no quorum has it")

    def told(self, operation: Operation) -> None:
        """A client has its answer."""
        write = operation.write if operation.kind is Kind.WRITE else operation.seen
        if operation.by_primary and write in self.written:
            self.latest = max(self.latest, self.written[write].sequence)

    def log(self) -> Mapping[int, Entry]:
        """All that is safe, by sequence."""
        return {sequence: self.entries[place] for sequence, place in sorted(self.safe.items())}
