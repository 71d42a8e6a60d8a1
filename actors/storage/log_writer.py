"""Group commit: one thread writes and syncs a journal for all that waits, and tells the event loop.

What is submitted while a sync is under way leaves together with the next one: one write, one sync, one wake-up of
the loop. Answers come in the order of submission, so whatever was submitted before is synced, too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Thread
from time import monotonic

import msgspec

from raylite.actors.core.store import StorePiece
from raylite.actors.storage.log_checkpoint import Checkpoint
from raylite.actors.storage.log_file import Journal
from raylite.actors.storage.log_records import Location, Record
from raylite.policies.errors import Error, Overloaded, StorageFailed, StorageFull
from raylite.policies.limits import (
    JOURNAL_BATCH_BYTES,
    JOURNAL_IDLE_SECONDS,
    JOURNAL_QUEUE_BYTES,
    JOURNAL_ROOM_SECONDS,
)

Outcome = Sequence[Location] | Error
Done = Callable[[Outcome], None]
_RECORD_BYTES = 256


class _Waiting(msgspec.Struct, frozen=True):
    records: Sequence[Record]
    done: Done
    size: int


class GroupCommit:
    """Writes `journal` for the event loop `loop`, where all but `close` is called. Owns the journal from now on.

    A full disk (`StorageFull`) fails all that waits, and what is submitted before those callbacks have run: later
    records build on earlier ones, and an answer without records vouches for them. Once they have run, the journal
    holds what was reported as stored and nothing else; submitters go back to that before they submit again.
    Any other failure is final: it fails all that waits and all that comes, and goes to `broken`, called on the loop,
    for it may happen when nothing waits: while room is reserved, or an idle journal is marked as synced.
    """

    def __init__(
        self,
        journal: Journal,
        loop: asyncio.AbstractEventLoop,
        broken: Callable[[StorageFailed], None],
        *,
        batch_bytes: int = JOURNAL_BATCH_BYTES,
        queue_bytes: int = JOURNAL_QUEUE_BYTES,
    ) -> None:
        self._journal, self._loop, self._broken = journal, loop, broken
        self._batch_bytes, self._queue_bytes = batch_bytes, queue_bytes
        self._changed = Condition()
        self._queue: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._unanswered = 0
        self._failing = self._closing = False
        self._prepare_at = 0.0
        self._checkpoint: Checkpoint | None = None
        self._final: StorageFailed | None = None
        self._thread = Thread(target=self._run, name="raylite-journal", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """What waits to be written."""
        return self._waiting_bytes

    def check_room(self) -> None:
        """Raises `Overloaded` if too much waits.

        To be called before a request changes anything: its records must be taken afterwards, for what comes later
        builds on them. So `submit` itself refuses none, and the bound may be passed by one request.
        """
        if self._waiting_bytes >= self._queue_bytes:
            raise Overloaded("a follower's journal", self._queue_bytes)

    @property
    def has_room(self) -> bool:
        """Whether the journal has room for a good while; looked at again every second while it has none."""
        return self._journal.has_room

    @property
    def failing(self) -> bool:
        """Whether a failure has happened whose callbacks have not run yet."""
        return self._failing

    def submit(self, records: Sequence[Record], done: Done) -> None:
        """Calls `done` later on the loop: with the records' locations once they, and all before, are synced.

        With no records only the order counts; with confirmed marks alone nothing is synced for them. On an error
        `done` gets that. Raises `StorageFailed` once a failure is final.
        """
        size = sum(map(_size, records))
        with self._changed:
            if self._final is not None:
                raise StorageFailed(*self._final.args)
            if not records and not self._unanswered:
                self._loop.call_soon(done, ())
                return
            self._queue.append(_Waiting(records, done, size))
            self._waiting_bytes += size
            self._unanswered += 1
            self._changed.notify()

    def discard(self, checkpoint: Checkpoint) -> None:
        """Lets the journal's thread remove what the checkpoint makes superfluous, soon."""
        with self._changed:
            self._checkpoint = checkpoint
            self._changed.notify()

    def close(self) -> None:
        """Writes and syncs what waits, ends the thread and closes the journal. Blocks for that long."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self._final = self._final or StorageFailed("a follower's journal", "it was closed")
        self._journal.close()

    # The thread

    def _run(self) -> None:
        ended = False
        try:
            self._prepare()
            while (batch := self._take()) is not None:
                if batch:
                    self._commit(batch)
                else:
                    self._journal.mark()
                    self._prepare()
                self._discard()
            ended = True
        except StorageFailed as error:
            self._fail([], error)
            ended = True
        finally:
            if not ended:  # our bug: whoever waits must not wait for ever
                self._fail([], StorageFailed("a follower's journal", "its thread ended, see the log"))

    def _take(self) -> list[_Waiting] | None:
        """What to commit next; nothing when it is time for a mark; None to end."""
        with self._changed:
            again = None if self._journal.has_room else JOURNAL_ROOM_SECONDS
            idle_seconds = JOURNAL_IDLE_SECONDS if self._journal.unmarked else again
            ready = self._changed.wait_for(self._is_ready, idle_seconds)
            if not ready:
                return []
            if self._failing or self._final is not None:
                return None
            if self._queue:
                return self._pop()
            return [] if self._checkpoint is not None and not self._closing else None

    def _is_ready(self) -> bool:
        waiting = bool(self._queue) or self._checkpoint is not None
        return (not self._failing and waiting) or self._closing or self._final is not None

    def _pop(self) -> list[_Waiting]:
        batch = [self._queue.popleft()]
        size = batch[0].size
        while self._queue and size + self._queue[0].size <= self._batch_bytes:
            batch.append(self._queue.popleft())
            size += batch[-1].size
        self._waiting_bytes -= size
        return batch

    def _commit(self, batch: list[_Waiting]) -> None:
        try:
            locations = self._journal.write([record for one in batch for record in one.records])
            if self._journal.unsynced:
                self._journal.sync()
        except Error as error:
            self._fail(batch, error)
            return
        self._call(self._deliver, _answers(batch, locations))
        self._prepare()

    def _prepare(self) -> None:
        """Reserves what comes next; a full disk is not asked at every commit."""
        if self._journal.has_room or monotonic() >= self._prepare_at:
            self._journal.prepare()
            self._prepare_at = monotonic() + JOURNAL_ROOM_SECONDS

    def _discard(self) -> None:
        with self._changed:
            checkpoint, self._checkpoint = self._checkpoint, None
        if checkpoint is not None:
            with contextlib.suppress(StorageFull):  # it is tried again with what is held then
                self._journal.discard(checkpoint)

    def _fail(self, batch: list[_Waiting], error: Error) -> None:
        with self._changed:
            self._failing = True
            if isinstance(error, StorageFailed):
                self._final = error
        self._call(self._deliver_failure, batch, error)

    def _call(self, callback: Callable[..., None], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback, *args)

    # On the loop

    def _deliver(self, answers: deque[tuple[Done, Outcome]]) -> None:
        try:
            while answers:
                done, outcome = answers.popleft()
                self._unanswered -= 1
                done(outcome)
        finally:
            if answers:
                self._deliver(answers)

    def _deliver_failure(self, batch: list[_Waiting], error: Error) -> None:
        with self._changed:
            batch += self._queue
            self._queue.clear()
            self._waiting_bytes = 0
            self._failing = False
            self._changed.notify()
        if isinstance(error, StorageFailed):
            self._broken(error)
        self._deliver(deque((one.done, error) for one in batch))


def _answers(batch: Sequence[_Waiting], locations: Sequence[Location]) -> deque[tuple[Done, Outcome]]:
    answers: deque[tuple[Done, Outcome]] = deque()
    first = 0
    for one in batch:
        end = first + len(one.records)
        answers.append((one.done, locations[first:end]))
        first = end
    return answers


def _size(record: Record) -> int:
    """About how many bytes a record takes; none but pieces are large."""
    change = record.change
    return _RECORD_BYTES + (len(change.encoded) if isinstance(change, StorePiece) else 0)
