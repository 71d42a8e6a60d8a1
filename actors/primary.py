"""The primary of one database: queries in, entries out, answers once confirmed (docs/architecture.md, The primary)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Sequence
from functools import partial

from raylite.actors.admission import Admission
from raylite.actors.archiving import Archiving
from raylite.actors.confirmed_log import ConfirmedLog
from raylite.actors.core import messages as m
from raylite.actors.core import primary as core
from raylite.actors.core.leader import Leader
from raylite.actors.core.takeover import Adopted
from raylite.actors.duties import Duties
from raylite.actors.finding import Finding
from raylite.actors.hand_over import HandOver
from raylite.actors.hibernation import Idleness, ask_for_rest, is_settled
from raylite.actors.opening import Opening
from raylite.actors.primary_past import PastMethods, PrimaryPast
from raylite.actors.primary_transfers import PrimaryTransfers
from raylite.actors.registrar import Registrar
from raylite.actors.reign_status import reign_status
from raylite.actors.relay import Relay
from raylite.actors.replay import advance_by, bring_up
from raylite.actors.service import Service, Surroundings, wall_us
from raylite.actors.storage.directory import Directory
from raylite.actors.storage.engine import Execution
from raylite.actors.storage.entries import EntryWriter, Made
from raylite.actors.storage.primary_file import PrimaryFile, Ran
from raylite.actors.storage.spool import Spool
from raylite.actors.storage.thread import DatabaseThread
from raylite.actors.stream import Connection, Payload, to_failure
from raylite.actors.wal_room import WalRoom
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Error, NotPrimary, Overloaded, StorageFull, Unreachable
from raylite.policies.query import Answer, Failure, Query
from raylite.policies.quorum import Members
from raylite.policies.status import ActorStatus, CopyCheck
from raylite.policies.system import PrimaryConfig, Settings, copy_directory, primary_name
from raylite.policies.transfer import TransferRequest


class Primary(PastMethods, Service):
    """One database's primary, from its start until it is fenced or stopped: one reign."""

    def __init__(self, config: PrimaryConfig, settings: Settings, around: Surroundings) -> None:
        self.config = config
        super().__init__(self._actor_name(), config.region, settings, around)
        self._thread = DatabaseThread(config.database)
        self._directory: Directory | None = None
        self.relay: Relay | None = None
        self._writer: EntryWriter | None = None
        self._file: PrimaryFile | None = None
        self.archiving: Archiving | None = None
        self._room: WalRoom | None = None
        self._transfers: PrimaryTransfers | None = None
        self._duties: Duties | None = None
        self.idleness = Idleness()
        self._opening = Opening(config.database, config.database_id, self._epoch)
        self.past = PrimaryPast(
            config.database,
            config.database_id,
            self._opening,
            cold=bool(settings.cold),
            archive=lambda: self.archiving,
            place=lambda database_id: self.place(copy_directory(database_id, "primary")),
            hold=self.hold,
        )
        self._hand_over = HandOver(self._commit)
        self.hold(self._start())

    def _actor_name(self) -> str:
        return primary_name(self.config.database)

    # Requests

    def handle(
        self, connection: Connection | None, payload: Payload
    ) -> Payload | Awaitable[Payload | None] | None:
        """Queries, and replicas that ask for the stream; raises `NotPrimary` for another database of this name."""
        match payload:
            case Query():
                self.idleness.end()
                return self._query(payload)
            case m.Follow(database=self.config.database_id) if (
                connection is not None and self.relay is not None
            ):
                self.relay.follow(connection, payload)
                return None
            case _ if isinstance(payload, TransferRequest) and self._transfers is not None:
                self.idleness.end()
                return self._transfers.answer(payload)
            case _:
                raise NotPrimary(self.config.database, self._epoch())

    async def up(self) -> None:
        """Returns once it has opened its database, or cannot for now, or after a while."""
        await self._opening.wait()

    async def check(self) -> CopyCheck:
        """This copy, read whole on the database's thread; raises `NotPrimary` before it is open."""
        if self._file is None:
            raise NotPrimary(self.config.database, 0)
        return await self._thread.run(partial(self._file.check, self.name, self.region))

    async def status(self) -> ActorStatus:
        """How this primary is."""
        full = self._room.full if self._room else self._opening.problem
        return reign_status(
            self.name,
            self.region,
            self.relay.core if self.relay else None,
            self._room.bytes if self._room else 0,
            self.archiving.state() if self.archiving else None,
            self._duties.verified_seconds if self._duties else None,
            [str(full or ""), *(self._duties.problems if self._duties else [])],
            self.idleness.seconds,
        )

    async def _query(self, query: Query) -> Answer | Failure:
        """The answer once all that it may have seen is confirmed; errors wait likewise."""
        await self._opening.wait(min(query.seconds, limits.OPENING_SECONDS))
        if query.at:
            execution, goal = await self.past.read(query)
            return self._answer(execution, goal)

        def job(file: PrimaryFile, seconds: float, refusal: Error | None) -> Ran:
            return file.run(query, seconds, refusal)

        ran, mark = await self._opening.run(query.database, query.bookmark, query.seconds, job)
        return self._answer(ran.execution, mark)

    async def replace_follower(self, follower: str, other: str = "") -> str:
        """See `Replacing.replace`."""
        await self._opening.wait()
        if self._duties is None:
            raise NotPrimary(self.config.database, 0)
        return await self._duties.replacing.replace(follower, other)

    def registrar(self) -> Registrar:
        """The registry, which may be this very actor."""
        return self.around.registrar

    def _refusal_of_archiving(self) -> Overloaded | None:
        return self.archiving.refusal() if self.archiving else None

    def _answer(self, execution: Execution, mark: Bookmark) -> Answer | Failure:
        if execution.error is not None:
            return to_failure(execution.error, str(mark))
        return Answer(execution.results, str(mark), self.name, self.region, True, execution.wrote)

    # The reign

    async def _start(self) -> None:
        config = self.config
        self._directory = await asyncio.to_thread(
            Directory.claim_or_fresh, self.place(config.directory), limits.LEASE_SECONDS
        )
        spool = await asyncio.to_thread(Spool, self._directory.spool)
        self._transfers = PrimaryTransfers(self.name, self.region, spool, self._opening.run_once_open)
        reign = core.PrimaryCore(
            config.database_id, config.database, config.members, self._directory.id, jitter=random.random()
        )
        self.relay = Relay(self, self, reign)
        self.hold(Finding(reign.takeover, self.registrar(), self.ask_once).run())

    def begin(self, adopted: Adopted) -> None:
        """A quorum promised: the reign's first entry goes behind what was adopted."""
        self._writer = EntryWriter(adopted.epoch, adopted.tail, adopted.tail_us, wall_us)
        self._commit([self._writer.empty()])

    def replay(self, place: Bookmark) -> None:
        """The first entry is confirmed, and so is all before it: open the copy there."""
        self.hold(self._open(place))

    async def _open(self, place: Bookmark) -> None:
        assert self._directory is not None, "the directory is claimed first"
        assert self.relay is not None, "the relay asks for the replay"
        assert self._writer is not None, "the first entry is made first"
        while self._file is None:
            try:
                advance = advance_by(self.settings, self.config.database_id, place)
                generation = await bring_up(
                    self.relay.read, advance, self._directory, self.config.database_id, place
                )
                self._file = await self._thread.run(
                    partial(PrimaryFile, generation, self._writer, self._hand_over.put)
                )
            except (StorageFull, Unreachable) as error:
                self._opening.failed(error)
                await asyncio.sleep(limits.FULL_RETRY_SECONDS)
        self._room = WalRoom(self.config.database, self._file, self._thread, self._leader, self.hold)
        admission = Admission(
            self.relay, self._file, self._room, self._thread, self.idleness, self._refusal_of_archiving
        )
        self.relay.replayed()
        self._opening.succeeded(admission)
        self._duties = Duties(self, self.registrar(), self.relay)
        if self.settings.cold:
            source = ConfirmedLog(self.relay)
            self.archiving = Archiving(self.settings, self.config.database_id, source, self._directory.path)
            self.hold(self.archiving.run())
            self._duties.begin_drills(self.past.verify, self._directory.path)
        await self.on_open()

    async def on_open(self) -> None:
        """Called once queries can run."""
        seconds = self.settings.hibernate_seconds
        if seconds:
            self.hold(ask_for_rest(self.idleness, self.registrar(), self.config.database_id, seconds))

    async def settle(self) -> bool:
        """Gives the reign up if nobody has asked for anything for long: whether it did, and is to be ended.

        All that is confirmed is in cold storage then, if there is any. If nobody ends it, it starts anew after a while.
        """
        if not await is_settled(self._leader(), self.archiving):
            return False
        if self.idleness.seconds < self.settings.hibernate_seconds:
            return False
        await self.stop()
        unended = Unreachable(
            self.name, f"nobody ended it within {limits.SETTLED_SECONDS:g} s after it had settled"
        )
        asyncio.get_running_loop().call_later(limits.SETTLED_SECONDS, self.around.crash, unended)
        return True

    def propose(self, members: Members) -> None:
        """Makes a members entry in the log's order, on the thread that makes all others."""
        if self._file is not None:
            self.hold(self._propose(self._file, members))

    async def _propose(self, file: PrimaryFile, members: Members) -> None:
        await self._thread.run(partial(file.members, members))

    def confirmed(self, place: Bookmark) -> None:
        """Everything up to this entry is confirmed: a moment to checkpoint, if nothing else waits."""
        self._regulate()
        if self.archiving is not None:
            self.archiving.confirmed()
        if self._room is not None:
            self._room.consider()

    def fenced(self, epoch: int) -> None:
        """Another primary reigns: this process goes, and does not come back by itself."""
        self._opening.never()
        self.around.leave()

    async def stop(self) -> None:
        """Ends the reign, gives the lease up, closes the copy."""
        if self.relay is not None:
            self.relay.stop()
            await self.relay.release()
        await super().stop()
        if self._transfers is not None:
            await self._transfers.stop()
        if self._file is not None:
            await self._thread.run(self._file.close)
        await self._thread.stop(limits.QUERY_SECONDS)
        if self._directory is not None:
            self._directory.release()

    def _commit(self, made: Sequence[Made]) -> None:
        if self.relay is not None:
            self.relay.committed(made)
            if self.archiving is not None:
                self.archiving.made(sum(one.piece.size for one in made))
            self._regulate()

    def _regulate(self) -> None:
        leader = self._leader()
        self._hand_over.regulate(leader.confirmation.unconfirmed if leader else 0)

    def _epoch(self) -> int:
        return self.relay.core.epoch if self.relay else 0

    def _leader(self) -> Leader | None:
        return self.relay.core.leader if self.relay else None
