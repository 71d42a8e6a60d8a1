"""Cold storage as the primaries of one database fill it, and how a copy is made from it; no fault takes it away."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from raylite.actors.core import messages as m
from raylite.actors.core.piece import Piece, decode_header, note_of
from raylite.actors.core.simulation.copies import DatabaseFile
from raylite.policies.bookmark import Bookmark

if TYPE_CHECKING:
    from raylite.actors.core.simulation.primaries import Primary

SHARE = 0.7
"""Of all runs, so many have cold storage."""
LONGEST_SECONDS = 0.8


class Cold:
    """What is held: whole confirmed entries from the log's beginning. trimmed: up to where followers were told so."""

    def __init__(self, start: Bookmark, seed: int) -> None:
        self.held = self.trimmed = start
        self.random = Random(f"cold storage {seed}")
        self.used = self.random.random() < SHARE
        self._pieces: list[tuple[Piece, bytes]] = []

    def put(self, after: Bookmark, pieces: Sequence[tuple[Piece, bytes]]) -> None:
        """Takes what follows `after`, unless another primary was first."""
        while pieces and not pieces[-1][0].last:
            pieces = pieces[:-1]
        if after == self.held and pieces:
            self._pieces += pieces
            self.held = pieces[-1][0].place

    def restore(self, file: DatabaseFile, until: Bookmark | None = None) -> None:
        """Makes a file that is behind anew, at the newest entry held that is not later than `until`."""
        if file.certain.sequence >= self.held.sequence:
            return
        file.anew()
        keys = file.keys.copy()
        for piece, encoded in self._pieces:
            if until is not None and piece.place.sequence > until.sequence:
                break
            file.write(encoded)
            keys.add(piece.place.sequence, note_of(decode_header(encoded)[0]))
            if piece.last:
                file.reach(piece.place, keys)


class Archiving:
    """One reign's uploads: now and then it reads what is confirmed, puts it there, and tells followers."""

    def __init__(self, primary: Primary, cold: Cold) -> None:
        self._primary, self._cold = primary, cold
        if cold.used:
            self._again()

    def _again(self) -> None:
        self._primary.after(LONGEST_SECONDS * self._cold.random.random(), self._read)

    def _read(self) -> None:
        leader = self._primary.core.leader
        assert leader is not None, "it begins once the reign is open"
        if leader.agreeing:
            source = self._cold.random.choice(leader.agreeing)
            self._primary.outgoing.read(source, self._cold.held, self._take)
        self._again()

    def _take(self, reply: m.FromFollower) -> None:
        primary, leader = self._primary, self._primary.core.leader
        if not isinstance(reply, m.Pieces) or leader is None:
            return
        pieces = primary.around.cores.describe(reply.after, reply.pieces)
        confirmed = [
            (piece, encoded)
            for piece, encoded in zip(pieces, reply.pieces, strict=True)
            if leader.has_confirmed(piece.place)
        ]
        self._cold.put(reply.after, confirmed)
        primary.after(0.1 * self._cold.random.random(), partial(self._trim, self._cold.held))

    def _trim(self, held: Bookmark) -> None:
        self._cold.trimmed = max(held, self._cold.trimmed, key=lambda place: place.sequence)
        for member in self._primary.core.contacts:
            self._primary.outgoing.trim(member, held)
