"""The primary of one database: queries in, entries out, answers once confirmed (docs/architecture.md, The primary)."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec

from raylite.actors.core import messages as m
from raylite.actors.core import primary as core
from raylite.actors.core.takeover import Adopted
from raylite.actors.exporting import Exports, Taken
from raylite.actors.importing import Imports
from raylite.actors.relay import Relay
from raylite.actors.replay import bring_up
from raylite.actors.service import Service, Surroundings, boottime, wall_us
from raylite.actors.storage.engine_adopt import Load
from raylite.actors.storage.entries import EntryWriter, Made
from raylite.actors.storage.generation import Directory
from raylite.actors.storage.primary_file import PrimaryFile, Ran
from raylite.actors.storage.spool import Spool
from raylite.actors.storage.thread import DatabaseThread
from raylite.actors.stream import Connection, Payload, to_failure
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Error, NotPrimary, Overloaded, StorageFull
from raylite.policies.query import Answer, Failure, Query
from raylite.policies.quorum import Members, majority
from raylite.policies.status import ActorStatus, CopyCheck
from raylite.policies.system import Settings, primary_name
from raylite.policies.transfer import CloseTransfer, OpenExport, ReadExport, TransferReply, TransferRequest

Job = Callable[[PrimaryFile, float, Error | None], Ran]
"""Work on the database's thread: on that file, within these seconds, writing only without a refusal."""


class PrimaryConfig(msgspec.Struct, frozen=True):
    """Which database, and where. members: its first ones; directory: of this primary's files, within its node's."""

    database_id: str
    database: str
    members: Members
    region: str
    directory: str


class Primary(Service):
    """One database's primary, from its start until it is fenced or stopped: one reign."""

    def __init__(self, config: PrimaryConfig, settings: Settings, around: Surroundings) -> None:
        self.config = config
        super().__init__(self._actor_name(), config.region, settings, around)
        self._thread = DatabaseThread(config.database)
        self._directory: Directory | None = None
        self._relay: Relay | None = None
        self._writer: EntryWriter | None = None
        self._file: PrimaryFile | None = None
        self._exports: Exports | None = None
        self._imports: Imports | None = None
        self._wal_bytes = 0
        self._checkpointing = False
        self._full: StorageFull | None = None
        self._made: deque[Sequence[Made]] = deque()
        self._handing_on = False
        self._flow = threading.Event()
        self._flow.set()
        self._room = asyncio.Event()
        self._room.set()
        self.hold(self._start())

    def _actor_name(self) -> str:
        return primary_name(self.config.database)

    # Requests

    def handle(
        self, connection: Connection | None, payload: Payload
    ) -> Payload | Awaitable[Payload | None] | None:
        """Queries, and replicas that ask for the stream."""
        match payload:
            case Query():
                return self._query(payload)
            case m.Follow() if connection is not None and self._relay is not None:
                self._relay.follow(connection, payload)
                return None
            case _ if isinstance(payload, TransferRequest):
                return self._transfer(payload)
            case _:
                raise NotPrimary(self.config.database, self._relay.core.epoch if self._relay else 0)

    async def check(self) -> CopyCheck:
        """This copy, read whole on the database's thread; raises `NotPrimary` before it is open."""
        if self._file is None:
            raise NotPrimary(self.config.database, 0)
        return await self._thread.run(partial(self._file.check, self.name, self.region))

    async def status(self) -> ActorStatus:
        """How this primary is."""
        reign = self._relay.core if self._relay else None
        leader = reign.leader if reign else None
        members = reign.members.current if reign else self.config.members.current
        return ActorStatus(
            self.name,
            "primary",
            self.region,
            os.getpid(),
            reign.phase.name.lower().replace("_", " ") if reign else "claiming its directory",
            reign.epoch if reign else 0,
            str(leader.confirmed) if leader else "",
            None,
            self._wal_bytes,
            answering=leader.answering(boottime()) if leader else 0,
            needed=majority(len(members)),
            problems=self._problems(),
        )

    def _problems(self) -> tuple[str, ...]:
        leader = self._relay.core.leader if self._relay else None
        if leader is None:
            return ("no quorum of its followers has promised yet",)
        now = boottime()
        silent = [
            one.member for one in leader.peers.values() if one.member and not leader.answers(one.member, now)
        ]
        lost = [one.member for one in leader.peers.values() if one.member and one.refuses]
        found = [f"{one.follower} does not answer" for one in silent]
        found += [f"{one.follower} holds this database no more" for one in lost]
        found += [f"{one} has no room left on its disk" for one in leader.low]
        return (*found, *([str(self._full)] if self._full else ()))

    async def _query(self, query: Query) -> Answer | Failure:
        """The answer once all that it may have seen is confirmed; errors wait likewise."""

        def job(file: PrimaryFile, seconds: float, refusal: Error | None) -> Ran:
            return file.run(query, seconds, refusal)

        return self._answer(*await self._run(query.database, query.bookmark, query.seconds, job))

    async def _run(self, database: str, bookmark: str, seconds: float, job: Job) -> tuple[Ran, Bookmark]:
        """What the job did, and its bookmark, once all that it may have seen is confirmed."""
        relay, file = self._relay, self._file
        if file is None and self._full is not None:
            raise self._full
        if relay is None or file is None or database != self.config.database_id:
            raise NotPrimary(self.config.database, relay.core.epoch if relay else 0)
        deadline = boottime() + min(seconds, limits.LONGEST_QUERY_SECONDS)
        relay.core.admit(Bookmark.parse(bookmark) if bookmark else None, boottime())
        try:
            await self._wait_for_room(deadline)
            refusal = relay.core.refusal_of_writes(boottime())
            ran = await self._thread.run(lambda: job(file, deadline - boottime(), refusal))
            self._wal_bytes = ran.wal_bytes
            return ran, await self._gate(relay, ran, deadline)
        finally:
            relay.core.dismissed()

    def _transfer(self, request: TransferRequest) -> Awaitable[TransferReply | None]:
        """One step of an import or export."""
        if self._imports is not None and self._imports.holds(request):
            return self._imports.answer(request)
        if self._exports is not None and isinstance(request, OpenExport | ReadExport | CloseTransfer):
            return self._exports.answer(request)
        raise NotPrimary(self.config.database, 0)

    async def _load(self, database: str, load: Load, seconds: float) -> str:
        """Applies a whole file; its bookmark once it is confirmed, or its error once that may be told."""

        def job(file: PrimaryFile, left: float, refusal: Error | None) -> Ran:
            return file.load(load, left, refusal)

        ran, mark = await self._run(database, "", seconds, job)
        if ran.execution.error is not None:
            raise ran.execution.error
        return str(mark)

    async def _snapshot(self, request: OpenExport) -> Taken:
        """The state of this copy, once it is confirmed."""
        taken: list[Taken] = []

        def job(file: PrimaryFile, _seconds: float, _refusal: Error | None) -> Ran:
            snapshot, ran = file.snapshot()
            taken.append(Taken(snapshot, ran.mark))
            return ran

        try:
            await self._run(request.database, request.bookmark, limits.QUERY_SECONDS, job)
        except BaseException:
            for one in taken:
                one.snapshot.close()
            raise
        return taken[0]

    async def _gate(self, relay: Relay, ran: Ran, deadline: float) -> Bookmark:
        """Waits until all that this query may have seen is confirmed; returns its bookmark."""
        token: asyncio.Future[Bookmark] = asyncio.get_running_loop().create_future()
        relay.finished(core.Waiting(token, ran.mark, ran.committed, deadline, boottime()))
        return await token

    def _answer(self, ran: Ran, mark: Bookmark) -> Answer | Failure:
        execution = ran.execution
        if execution.error is not None:
            return to_failure(execution.error, str(mark))
        return Answer(execution.results, str(mark), self.name, self.region, True, execution.wrote)

    # The reign

    async def _start(self) -> None:
        config = self.config
        self._directory = await asyncio.to_thread(
            Directory.claim_or_fresh, self.place(config.directory), limits.LEASE_SECONDS
        )
        members = await self._first_members()
        spool = await asyncio.to_thread(Spool, self._directory.spool)
        self._exports = Exports(self.name, spool, self._snapshot)
        self._imports = Imports(self.name, self.region, spool, self._load)
        reign = core.PrimaryCore(
            config.database_id, config.database, members, self._directory.id, jitter=random.random()
        )
        self._relay = Relay(self, self, reign)

    async def _first_members(self) -> Members:
        return self.config.members

    def begin(self, adopted: Adopted) -> None:
        """A quorum promised: the reign's first entry goes behind what was adopted."""
        self._writer = EntryWriter(adopted.epoch, adopted.tail, adopted.tail_us, wall_us)
        self._commit([self._writer.empty()])

    def replay(self, place: Bookmark) -> None:
        """The first entry is confirmed, and so is all before it: open the copy there."""
        self.hold(self._open(place))

    async def _open(self, place: Bookmark) -> None:
        assert self._directory is not None, "the directory is claimed first"
        assert self._relay is not None, "the relay asks for the replay"
        assert self._writer is not None, "the first entry is made first"
        hand_on = self._from_thread(asyncio.get_running_loop())
        while self._file is None:
            try:
                generation = await bring_up(self._relay.read, self._directory, self.config.database_id, place)
                self._file = await self._thread.run(partial(PrimaryFile, generation, self._writer, hand_on))
            except StorageFull as error:
                await self._wait_for_space(error)
        self._full = None
        self._relay.replayed()
        await self.on_open()

    async def _wait_for_space(self, error: StorageFull) -> None:
        """The disk of this copy is full: say so, and try again in a while."""
        self._full = error
        await asyncio.sleep(limits.FULL_RETRY_SECONDS)

    async def on_open(self) -> None:
        """Called once queries can run."""

    def propose(self, members: Members) -> None:
        """Makes a members entry in the log's order, on the thread that makes all others."""
        if self._file is not None:
            self.hold(self._propose(self._file, members))

    async def _propose(self, file: PrimaryFile, members: Members) -> None:
        await self._thread.run(partial(file.members, members))

    def confirmed(self, place: Bookmark) -> None:
        """Everything up to this entry is confirmed: a moment to checkpoint, if nothing else waits."""
        if self._relay is not None:
            self._regulate(self._relay)
        self._consider_checkpoint()

    def fenced(self, epoch: int) -> None:
        """Another primary reigns: this process goes, and does not come back by itself."""
        self.around.leave()

    async def stop(self) -> None:
        """Ends the reign, gives the lease up, closes the copy."""
        if self._relay is not None:
            self._relay.stop()
            await self._relay.release()
        await super().stop()
        if self._exports is not None:
            await self._exports.stop()
        if self._imports is not None:
            await self._imports.stop()
        if self._file is not None:
            await self._thread.run(self._file.close)
        await self._thread.stop(limits.QUERY_SECONDS)
        if self._directory is not None:
            self._directory.release()

    def _from_thread(self, loop: asyncio.AbstractEventLoop) -> Callable[[Sequence[Made]], None]:
        """Takes pieces on the database's thread to the loop, no faster than they are confirmed.

        What is made before the loop gets to it goes along: under load one message carries many entries.
        """

        def hand_on(made: Sequence[Made]) -> None:
            self._made.append(made)
            if not self._handing_on:
                self._handing_on = True
                loop.call_soon_threadsafe(self._take_made)
            self._flow.wait(limits.CONFIRM_SECONDS)

        return hand_on

    def _take_made(self) -> None:
        # First the flag: what is made from here on calls again, at worst for nothing.
        self._handing_on = False
        made: list[Made] = []
        while self._made:
            made += self._made.popleft()
        self._commit(made)

    def _commit(self, made: Sequence[Made]) -> None:
        if self._relay is not None:
            self._relay.committed(made)
            self._regulate(self._relay)

    def _regulate(self, relay: Relay) -> None:
        """A script or a large transaction makes entries faster than followers sync: then its thread waits."""
        leader = relay.core.leader
        if leader is not None and leader.unconfirmed > limits.UNCONFIRMED_ENTRIES:
            self._flow.clear()
        else:
            self._flow.set()

    # The WAL's size

    async def _wait_for_room(self, deadline: float) -> None:
        """Above its bound the WAL is checkpointed to its end before anything more is written."""
        if self._wal_bytes >= limits.WAL_PAUSE_BYTES:
            self._room.clear()
            self._consider_checkpoint()
        try:
            await asyncio.wait_for(self._room.wait(), max(0.0, deadline - boottime()))
        except TimeoutError:
            what = f"{self.config.database}: bytes in the WAL that are not confirmed"
            raise self._full or Overloaded(what, limits.WAL_PAUSE_BYTES) from None

    def _consider_checkpoint(self) -> None:
        leader = self._relay.core.leader if self._relay else None
        due = self._wal_bytes >= limits.WAL_CHECKPOINT_BYTES and not self._checkpointing
        if due and leader is not None and leader.unconfirmed == 0 and self._file is not None:
            self._checkpointing = True
            self.hold(self._checkpoint(self._file, leader.confirmed))

    async def _checkpoint(self, file: PrimaryFile, place: Bookmark) -> None:
        """Without room for it the WAL grows on; above its bound no more is written, and this is tried again."""
        try:
            self._wal_bytes = await self._thread.run(partial(file.checkpoint, place))
            self._full = None
        except StorageFull as error:
            await self._wait_for_space(error)
        self._checkpointing = False
        if self._full is not None:
            self._consider_checkpoint()
        if self._wal_bytes < limits.WAL_PAUSE_BYTES:
            self._room.set()
