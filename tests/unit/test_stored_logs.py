"""The logs of a follower's journal: whatever breaks it ends the process, for only its next start knows the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest
from tests.unit.log_disk import Disk
from tests.unit.log_model import begin, entries, opened

from raylite.actors.core import messages as m
from raylite.actors.stored_logs import StoredLogs
from raylite.policies.errors import StorageFailed


def not_held(work: Coroutine[object, object, None]) -> object:
    raise AssertionError("nothing runs in the background here")


def test_a_sync_that_fails_while_nobody_waits_ends_the_process() -> None:
    """Otherwise it would live on and refuse everything, for ever (campaign of seed 5)."""
    disk = Disk()

    async def main() -> None:
        journal = opened(disk)
        journal.write(begin("a") + entries("a", 1))
        journal.sync()
        assert journal.unmarked
        disk.failing = set(range(disk.steps, disk.steps + 10))
        crashed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        logs = StoredLogs(journal, not_held, crashed.set_result)
        try:
            async with asyncio.timeout(10):
                assert isinstance(await crashed, StorageFailed)
            with pytest.raises(StorageFailed):
                logs.receive(m.Join("b"))
        finally:
            logs.close()

    asyncio.run(main())
