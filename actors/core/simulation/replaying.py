"""A starting primary brings its file to the entry that its reign begins with, from what followers hold."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from raylite.actors.core import messages as m
from raylite.actors.core.piece import decode_header, note_of
from raylite.policies.bookmark import Bookmark
from raylite.policies.limits import RETRY_SECONDS

if TYPE_CHECKING:
    from raylite.actors.core.simulation.primaries import Primary


class Replaying:
    """Reads pieces up to `place` and writes them into the file, which begins anew if it is in any doubt."""

    def __init__(self, primary: Primary, place: Bookmark) -> None:
        self._primary, self._place = primary, place
        self._file = primary.directory.file
        self._reached = self._file.certain
        self._old_goal = self._file.goal
        self._keys = self._file.keys.copy()
        self._round = 0

    def start(self) -> None:
        """Begins; calls `Primary.replayed` at the end."""
        if self._old_goal is not None and self._old_goal.sequence > self._place.sequence:
            self._anew()
        self._go_on()

    def _anew(self) -> None:
        self._file.anew()
        self._reached, self._old_goal = self._file.certain, None
        self._keys = self._file.keys.copy()

    def _from_cold_storage(self) -> None:
        """Followers have trimmed what comes next."""
        self._anew()
        self._primary.around.cold.restore(self._file, self._place)
        self._reached = self._file.certain
        self._keys = self._file.keys.copy()

    def _go_on(self) -> None:
        if self._reached.digest == self._place.digest and self._old_goal is None:
            self._file.reach(self._place, self._keys)
            self._primary.replayed()
            return
        if self._reached.sequence >= self._place.sequence:
            self._anew()
        if self._file.goal != self._place:
            self._primary.around.checkers.shown(self._place, f"the file of {self._primary.name}")
            self._file.goal = self._place
        self._read()

    def _read(self) -> None:
        self._round += 1
        leader = self._primary.core.leader
        agreeing = leader.agreeing if leader else []
        if agreeing:
            source = agreeing[self._round % len(agreeing)]
            self._primary.outgoing.read(source, self._reached, partial(self._take, self._round))
        self._primary.after(RETRY_SECONDS, partial(self._retry, self._round))

    def _retry(self, attempt: int) -> None:
        if attempt == self._round:
            self._read()

    def _take(self, attempt: int, reply: m.FromFollower) -> None:
        if attempt != self._round:
            return
        self._round += 1
        match reply:
            case m.Pieces() if reply.pieces and reply.after == self._reached:
                self._write(reply)
            case m.Missing() if reply.base.sequence > self._reached.sequence:
                self._from_cold_storage()
            case m.Pieces() | m.Missing():
                self._anew()
            case _:
                pass
        self._go_on()

    def _write(self, reply: m.Pieces) -> None:
        for piece, data in zip(
            self._primary.around.cores.describe(self._reached, reply.pieces), reply.pieces, strict=True
        ):
            self._file.write(data)
            self._keys.add(piece.place.sequence, note_of(decode_header(data)[0]))
            self._reached = piece.place
            if self._old_goal is not None and piece.last and piece.place == self._old_goal:
                self._old_goal = None
            if piece.place == self._place:
                return
