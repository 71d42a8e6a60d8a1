"""The logs of a follower's databases, as they are in memory and as they are on its disk.

The rules are `FollowerLog`'s (docs/architecture.md, Followers); here its effects become journal records, and a reply
leaves when the records before it are synced.
"""

from __future__ import annotations

import asyncio
import secrets
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from raylite.actors.core import follower as core
from raylite.actors.core import messages as m
from raylite.actors.core.log import LogIndex
from raylite.actors.core.piece import Piece
from raylite.actors.core.store import StoreBase, StoreDropped, StoreGaveUp
from raylite.actors.service import Hold, boottime
from raylite.actors.storage.log_checkpoint import Checkpoint
from raylite.actors.storage.log_file import Journal
from raylite.actors.storage.log_records import Change, Location, Record, StoreJoined
from raylite.actors.storage.log_state import Recovered
from raylite.actors.storage.log_writer import GroupCommit, Outcome
from raylite.actors.stream import Payload, to_failure
from raylite.policies import limits
from raylite.policies.bookmark import origin
from raylite.policies.errors import Corrupt, Error, StorageFailed

Reply = asyncio.Future[Payload]
Crash = Callable[[BaseException], None]
"""Ends this process: only its next start can tell what the disk holds."""


class StoredLogs:
    """All logs of one journal. `_logs` answers at once; `_stored_logs` is what of it is synced, and where.

    full: why the disk took no more, None once it does again. `_waiting` has each database whose log has a promise to
    answer later: of many databases few are in use.
    """

    def __init__(self, journal: Journal, hold: Hold, crash: Crash) -> None:
        """Whatever the journal recovered is durable."""
        self.full: Error | None = None
        self._journal, self._hold, self._crash = journal, hold, crash
        self._logs: dict[str, core.FollowerLog] = {}
        self._waiting: set[str] = set()
        self._stored_logs = journal.recovered
        for database in self._stored_logs:
            self._restore(database)
        self._reached, self._trimmed = journal.started_in, True
        self._discard_at = 0.0
        self._commit = GroupCommit(journal, asyncio.get_running_loop(), crash)

    @property
    def has_room(self) -> bool:
        """Whether the journal's next segment is reserved."""
        return self._commit.has_room

    @property
    def held(self) -> int:
        """How many databases have a log here."""
        return sum(not log.dropped for log in self._logs.values())

    @property
    def damaged(self) -> list[str]:
        """Databases whose logs were damaged and are given up, by id."""
        return [database for database, log in self._logs.items() if log.gave_up]

    def missed(self, now: float, seconds: float) -> list[str]:
        """Databases whose primaries were heard, and are missed for so long, by id."""
        return [name for name, log in self._logs.items() if log.missed_seconds(now) >= seconds]

    def receive(self, payload: m.ToFollower) -> Payload | Reply:
        """The answer to a relay message, once what it vouches for is durable; raises `Overloaded` if too much waits."""
        self._commit.check_room()
        reply: Reply = asyncio.get_running_loop().create_future()
        log = self._logs.get(payload.database)
        if isinstance(payload, m.Join) and (log is None or log.gave_up):
            self._join(payload.database, reply)
            return reply
        if log is None:
            return m.Unknown(payload.database, getattr(payload, "number", 0))
        log.has_room = self._commit.has_room
        self._carry_out(payload.database, log.receive(payload, reply, boottime()))
        if log.waits:
            self._waiting.add(payload.database)
        return reply

    def drop(self, payload: m.Drop) -> Reply:
        """The log goes now, in order; the answer waits until that is durable. Raises as `receive`."""
        self._commit.check_room()
        reply: Reply = asyncio.get_running_loop().create_future()
        log = self._logs.get(payload.database)
        if log is None:
            reply.set_result(m.Dropped(payload.database))
        else:
            self._carry_out(payload.database, log.receive(payload, reply, boottime()))
        return reply

    def tick(self, now: float) -> None:
        """Answers promises that waited for a lease; gives segments back that nobody needs."""
        for database in sorted(self._waiting):
            log = self._logs.get(database)
            if log is not None:
                self._carry_out(database, log.tick(now))
            if log is None or not log.waits:
                self._waiting.discard(database)
        if self._trimmed and now >= self._discard_at:
            self._trimmed, self._discard_at = False, now + limits.JOURNAL_DISCARD_SECONDS
            self._discard()

    def _discard(self) -> None:
        needed = min([self._reached, *(one.oldest or self._reached for one in self._stored_logs.values())])
        if needed > self._journal.oldest:
            self._commit.discard(Checkpoint.of(self._stored_logs.values(), self._reached))

    def close(self) -> None:
        """Closes the journal once all that waits is synced; blocks meanwhile."""
        self._commit.close()

    def _join(self, database: str, reply: Reply) -> None:
        """Makes an incarnation and an empty log; the answer waits until both are durable.

        One that was given up is gone: nothing answers for it any more.
        """
        incarnation = secrets.token_hex(8)
        self._logs[database] = core.FollowerLog(
            database, incarnation, LogIndex(origin(database), None), started=boottime()
        )
        self._stored_logs[database] = Recovered(database)
        self._submit(database, [StoreJoined(incarnation)], [(reply, m.Joined(database, incarnation))])

    def _carry_out(self, database: str, effects: Sequence[core.Effect]) -> None:
        changes: list[Change] = []
        replies: list[tuple[Reply, Payload]] = []
        for effect in effects:
            match effect:
                case core.Reply(to, message):
                    replies.append((cast(Reply, to), message))
                case core.Load():
                    self._hold(self._load(database, effect))
                case _:
                    changes.append(effect)
        if changes or replies:
            self._submit(database, changes, replies)

    def _submit(
        self, database: str, changes: Sequence[Change], replies: Sequence[tuple[Reply, Payload]]
    ) -> None:
        records = [Record(database, change) for change in changes]
        self._commit.submit(records, partial(self._stored, database, changes, replies))

    def _stored(
        self,
        database: str,
        changes: Sequence[Change],
        replies: Sequence[tuple[Reply, Payload]],
        result: Outcome,
    ) -> None:
        """All of it is synced and the replies may leave; or none of it counts, and the log goes back to the disk's.

        Once the journal is broken nothing leaves: this process ends.
        """
        if isinstance(result, StorageFailed):
            return
        if isinstance(result, Error):
            self.full = result
            if database in self._stored_logs:
                self._restore(database)
            _settle([(reply, _refusal(message, result)) for reply, message in replies])
        else:
            self.full = None
            self._apply(database, changes, result)
            _settle(replies)

    def _apply(self, database: str, changes: Sequence[Change], locations: Sequence[Location]) -> None:
        stored = self._stored_logs[database]
        try:
            for change, location in zip(changes, locations, strict=True):
                stored.apply(change, location)
                self._reached = location.segment
                self._trimmed |= isinstance(change, StoreBase | StoreDropped | StoreGaveUp)
        except Corrupt as error:
            # What was just stored does not follow what was: our bug, and nothing to vouch for.
            self._crash(error)
            raise

    def _restore(self, database: str) -> None:
        """Makes the log anew from what is stored; a database that was never joined durably is unknown again."""
        stored = self._stored_logs[database]
        if not stored.incarnation:
            del self._logs[database], self._stored_logs[database]
            return
        self._logs[database] = core.FollowerLog(
            database,
            stored.incarnation,
            stored.index,
            promised=stored.promised,
            confirmed=stored.confirmed,
            gave_up=stored.gave_up,
            dropped=stored.dropped,
            started=boottime(),
        )

    async def _load(self, database: str, effect: core.Load) -> None:
        """Reads pieces, once what was submitted before is stored."""
        settled: Reply = asyncio.get_running_loop().create_future()
        self._submit(database, (), [(settled, m.Released(database))])
        await settled
        reply = cast(Reply, effect.to)
        locations = self._locations(database, effect)
        try:
            pieces = await asyncio.to_thread(self._journal.read_many, locations)
        except Corrupt as error:
            index = self._logs[database].index
            if index.find(effect.after) is not None or effect.after.sequence >= index.base.sequence:
                self._crash(error)
                return
            found = m.Missing(database, effect.after, index.base, index.tail)  # it was trimmed meanwhile
            _settle([(reply, found)])
            return
        if not reply.done():
            reply.set_result(m.Pieces(database, effect.after, pieces, effect.tail, effect.confirmed))

    def _locations(self, database: str, effect: core.Load) -> list[Location]:
        """Where the wanted pieces are, up to the first that was cut away or trimmed meanwhile."""
        pieces = self._stored_logs[database].pieces
        start = (
            bisect_left(pieces, _order(effect.pieces[0]), key=lambda one: _order(one[0]))
            if effect.pieces
            else 0
        )
        pairs = zip(pieces[start : start + len(effect.pieces)], effect.pieces, strict=False)
        return [location for (held, location), wanted in pairs if held.place == wanted.place]


def _order(piece: Piece) -> tuple[int, int]:
    return piece.place.sequence, piece.number


def _settle(replies: Sequence[tuple[Reply, Payload]]) -> None:
    for reply, message in replies:
        if not reply.done():
            reply.set_result(message)


def _refusal(message: Payload, error: Error) -> Payload:
    """What to answer instead of `message`, which vouches for something that was not stored."""
    refusal = core.refusal_for_room(message) if isinstance(message, m.FromFollower) else None
    return refusal or to_failure(error)
