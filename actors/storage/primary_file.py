"""The primary's copy: queries run here, and every commit becomes an entry. Used by the database's thread alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from raylite.actors.storage.copy_check import checked
from raylite.actors.storage.engine import Execution
from raylite.actors.storage.engine_adopt import Load
from raylite.actors.storage.engine_load import LoadingEngine
from raylite.actors.storage.entries import EntryWriter, Made
from raylite.actors.storage.generation import Generation
from raylite.actors.storage.image import first_page_of
from raylite.actors.storage.outcome import decode_outcome, encode_outcome
from raylite.actors.storage.snapshot import Snapshot
from raylite.actors.storage.wal import WalReader
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import BookmarkError, Error, KeyForgotten, Unavailable
from raylite.policies.query import Query
from raylite.policies.quorum import Members
from raylite.policies.status import CopyCheck


class Ran(msgspec.Struct, frozen=True):
    """What a query did.

    mark: the newest entry that it may have seen; committed: whether it made an entry; wal_bytes: in use after it.
    """

    execution: Execution
    mark: Bookmark
    committed: bool
    wal_bytes: int


class PrimaryFile:
    """An open copy at the end of the log of `writer`.

    Invariant: the database file holds only confirmed pages, so nothing is checkpointed while an entry in the WAL
    waits for its quorum.
    """

    def __init__(
        self, generation: Generation, writer: EntryWriter, hand_on: Callable[[Sequence[Made]], None]
    ) -> None:
        """`hand_on` takes every new piece in the log's order, whether or not anyone still waits for its query."""
        self.database = generation.database
        self._generation, self._writer, self._hand_on = generation, writer, hand_on
        self._keys = generation.keys
        self._key = b""
        self._made: list[Made] = []
        self._made_bytes = 0
        path = generation.database
        self.engine = LoadingEngine.writer(str(path), self._committed)
        self._wal = WalReader(Path(f"{path}-wal"))

    def run(self, query: Query, seconds: float, refusal: Error | None = None) -> Ran:
        """Runs a query, or of it only what reads if there is a refusal; what it committed is handed on by then.

        One that was run before, as its key tells, has the outcome that it had then; where nobody can tell it is not
        run, but `KeyForgotten`.
        """
        if query.key:
            known = self._keys.outcome(query.key)
            if known is not None:
                return Ran(decode_outcome(known), self._writer.tail, True, self._wal.size)
            if self._keys.may_have_forgotten(self._sequence(query.since)):
                return self._ran(lambda: Execution([], False, KeyForgotten(str(self.database))))
        self._key = query.key
        ran = self._ran(lambda: self._execute(query, seconds, refusal))
        self._key = b""
        return ran

    def load(self, load: Load, seconds: float, refusal: Error | None = None) -> Ran:
        """Applies a whole file in one transaction, as `run`."""
        return self._ran(lambda: self.engine.load(load, seconds, refusal))

    def replace(self, path: Path) -> tuple[Bookmark, Ran]:
        """Makes the database what the file at `path` holds, as one entry; the bookmark of the entry before it."""
        before = self._writer.tail
        self.engine.replace(path)
        mark = self._writer.tail
        self._hand_on_all()
        return before, Ran(Execution([], wrote=True), mark, mark != before, self._wal.size)

    def snapshot(self) -> tuple[Snapshot, Ran]:
        """The state that the database has now, and its bookmark in what a query would give that only reads."""
        first_page = self._wal.first_page() or first_page_of(self.database)
        ran = Ran(Execution([], False), self._writer.tail, False, self._wal.size)
        return Snapshot(self.database, first_page), ran

    def members(self, members: Members) -> None:
        """Makes an entry that changes the members, and hands it on."""
        self._hand_on([self._writer.members(members)])

    def checkpoint(self, confirmed: Bookmark) -> int:
        """Copies the WAL into the database file if all of it is confirmed; the WAL's bytes in use after that."""
        if confirmed.digest != self._writer.tail.digest:
            return self._wal.size
        self._generation.set_goal(confirmed)
        frames, copied = self.engine.checkpoint_passive()
        if frames != copied:
            return self._wal.size
        self._generation.set_certain(confirmed, self._keys)
        self._wal.checkpointed()
        return self._wal.size

    def check(self, actor: str, region: str) -> CopyCheck:
        """This copy, read whole in one snapshot."""
        return checked(self.engine, actor, region, self._writer.tail)

    def close(self) -> None:
        """Closes the copy without copying anything into the database file."""
        self._wal.close()
        self.engine.close()

    def _execute(self, query: Query, seconds: float, refusal: Error | None) -> Execution:
        """Runs it. What came of a repeated one is in the log even if it changed nothing: an earlier attempt that
        is still on its way must not run after that.
        """
        before = self._writer.tail
        execution = self.engine.execute(query, seconds, refusal)
        counts = execution.wrote if execution.error is None else not isinstance(execution.error, Unavailable)
        if query.repeated and counts and self._writer.tail == before:
            self._made.append(self._writer.empty(self._note(execution)))
        return execution

    def _sequence(self, since: str) -> int:
        """The sequence of a bookmark of this database; 0 if it is none."""
        try:
            found = Bookmark.parse(since)
        except BookmarkError:
            return 0
        return found.sequence if found.history == self._writer.tail.history else 0

    def _note(self, execution: Execution | None) -> bytes:
        """What the entry that is made next says of the query that makes it."""
        if not self._key or execution is None:
            return b""
        note = self._key + encode_outcome(execution)
        self._keys.add(self._writer.tail.sequence + 1, note)
        return note

    def _ran(self, work: Callable[[], Execution]) -> Ran:
        before = self._writer.tail
        execution = work()
        mark = self._writer.tail
        self._hand_on_all()
        return Ran(execution, mark, mark != before, self._wal.size)

    def _committed(self, frames: int, execution: Execution | None) -> None:
        commit = self._wal.commit(frames)
        pages, note = commit.pages, self._note(execution)
        for made in self._writer.write(commit.page_size, commit.database_pages, pages, self._wal.read, note):
            self._made.append(made)
            self._made_bytes += made.piece.size
            if self._made_bytes >= limits.APPEND_BYTES:
                self._hand_on_all()

    def _hand_on_all(self) -> None:
        made, self._made, self._made_bytes = self._made, [], 0
        if made:
            self._hand_on(made)
