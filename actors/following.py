"""What a replica makes of its primary's stream: the core's log decides, the copy is changed, readers are shown more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from raylite.actors.applying import Change
from raylite.actors.core import messages as m
from raylite.actors.core import replica as core
from raylite.actors.links import Link
from raylite.actors.replica_copy import ReplicaCopy
from raylite.actors.service import Service, boottime
from raylite.actors.shown import Shown
from raylite.actors.stream import Connection, Payload
from raylite.policies import limits
from raylite.policies.errors import Corrupt, Error, StorageFull, Unreachable
from raylite.policies.system import primary_name


class Following:
    """Dials the primary of a database, for ever, and takes what it sends. It begins when it is made."""

    def __init__(
        self, service: Service, database: str, log: core.ReplicaLog, copy: ReplicaCopy, shown: Shown
    ) -> None:
        self.log = log
        self._service, self._database, self._copy, self._shown = service, database, copy, shown
        self._heard_at: float | None = None
        self._link = Link(
            service,
            primary_name(database),
            on_up=self._follow,
            on_down=lambda: None,
            handler=self._stream,
        )
        service.hold(self._miss_primary())

    @property
    def connection(self) -> Connection | None:
        """To the primary, if there is one now."""
        return self._link.connection

    def _follow(self, connection: Connection) -> None:
        """Asks a primary for the stream; one that is not open yet refuses, and is dialled again."""
        log, service = self.log, self._service
        message = m.Follow(log.database, service.name, service.region, log.published, log.epoch)
        connection.post(message, lambda reply: self._followed(connection, reply))

    def _followed(self, connection: Connection, reply: Payload | Error | None) -> None:
        if isinstance(reply, Error):
            connection.close("it is not the primary, or not yet")

    def _stream(self, connection: Connection, payload: Payload) -> Awaitable[Payload | None]:
        """One message of a leader; carried out in order, answered when it is, or not at all while the disk is full."""
        self._heard_at = boottime()
        if self._copy.full is not None:
            return _nothing()
        match payload:
            case m.Append():
                effects = self.log.receive(payload)
            case m.Diverged():
                effects = self.log.diverged(payload)
            case _:
                raise Unreachable(self._service.name, f"a leader does not send {type(payload).__name__}")
        return self._carry_out(effects)

    def _carry_out(self, effects: Sequence[core.Effect]) -> Awaitable[Payload | None]:
        """Queues the file's part in order, before anything else can be queued; returns the answer to come."""
        for effect in effects:
            if isinstance(effect, core.Rebuild):
                self._rebuild(effect.reason)
        changes = [one for one in effects if isinstance(one, core.Write | core.CutTo | core.Publish)]
        answers = [one.message for one in effects if isinstance(one, core.Answer)]
        applied = self._copy.apply(changes) if changes else None
        return self._answer(applied, changes, answers[0] if answers else None)

    async def _answer(
        self, applied: Awaitable[None] | None, changes: Sequence[Change], answer: Payload | None
    ) -> Payload | None:
        if applied is not None:
            try:
                await applied
            except StorageFull as error:
                await self._wait_for_space(error)
                return None
            except Error as error:
                if not self._copy.closing:
                    self._lose(error)
                raise
        for change in changes:
            if isinstance(change, core.Publish):
                await self._shown.show(change)
                await self._copy.checkpoint_if_due()
        return answer

    async def _wait_for_space(self, error: StorageFull) -> None:
        """Goes back to what readers see, and takes nothing for a while; the leader then asks where to go on from."""
        if self._copy.full is not None:
            return
        self._copy.full = error
        try:
            self.log.step_back(await self._copy.take_back())
        except Corrupt as damage:
            self._lose(damage)
            raise
        await asyncio.sleep(limits.FULL_RETRY_SECONDS)
        self._copy.resume()

    def _lose(self, error: Error) -> None:
        """The log counts as written what the file does not hold: only a new start is true."""
        self._service.around.crash(error)

    def _rebuild(self, reason: str) -> None:
        """A copy that cannot go on is forgotten; the next process of this actor begins with an empty one."""
        self._copy.forget()
        self._service.around.crash(Unreachable(self._service.name, reason))

    async def _miss_primary(self) -> None:
        """Tells the registry when a primary that was heard before is silent for two leases."""
        while True:
            await asyncio.sleep(limits.LEASE_SECONDS / 4)
            if self._heard_at is not None and boottime() - self._heard_at > 2 * limits.LEASE_SECONDS:
                self._heard_at = boottime()
                await self._service.around.report_missing(self._database)


async def _nothing() -> Payload | None:
    return None
