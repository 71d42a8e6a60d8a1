"""Group commit: one write and one sync for all that waits, answers in order, failures that spare nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from threading import Event

import pytest
from tests.unit.log_disk import Disk
from tests.unit.log_model import DIRECTORY, OWNER, begin, entries, opened, place_of

from raylite.actors.core.store import StoreConfirmed, StorePromise
from raylite.actors.storage.log_file import Journal
from raylite.actors.storage.log_records import Location, Record
from raylite.actors.storage.log_writer import GroupCommit, Outcome
from raylite.policies.errors import Error, Overloaded, StorageFailed, StorageFull


class HeldDisk(Disk):
    """A disk whose syncs wait until they are let go, and that tells when one waits."""

    def __init__(self) -> None:
        super().__init__()
        self.go = Event()
        self.go.set()
        self.waiting = Event()

    def fdatasync(self, descriptor: int) -> None:
        self.waiting.set()
        assert self.go.wait(10)
        super().fdatasync(descriptor)


class Submitter:
    """Submits on the running loop and keeps the outcomes in the order in which they came.

    broken: final failures that were told.
    """

    def __init__(self, group: GroupCommit, broken: Sequence[StorageFailed] = ()) -> None:
        self.group, self.broken = group, broken
        self.outcomes: list[tuple[str, Outcome]] = []
        self._changed = asyncio.Event()

    def submit(self, name: str, records: Sequence[Record]) -> None:
        def done(outcome: Outcome) -> None:
            self.outcomes.append((name, outcome))
            self._changed.set()

        self.group.submit(records, done)

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.outcomes) < count:
                self._changed.clear()
                await self._changed.wait()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.outcomes]

    def errors(self) -> list[type[Error]]:
        return [type(outcome) for _, outcome in self.outcomes if isinstance(outcome, Error)]


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise TimeoutError


async def syncing(disk: HeldDisk, submitter: Submitter, name: str, records: Sequence[Record]) -> None:
    """Submits what then waits in the disk's sync, until the disk is let go."""
    disk.go.clear()
    disk.waiting.clear()
    submitter.submit(name, records)
    await until(disk.waiting.is_set)


def run(disk: Disk, body: Callable[[Submitter, Journal], Coroutine[None, None, None]], **limits: int) -> None:
    """Runs `body` on a loop with a group commit over a journal that knows database a."""

    async def main() -> None:
        journal = opened(disk)
        journal.write(begin("a"))
        journal.sync()
        broken: list[StorageFailed] = []
        group = GroupCommit(journal, asyncio.get_running_loop(), broken.append, **limits)
        try:
            await body(Submitter(group, broken), journal)
        finally:
            group.close()

    asyncio.run(main())


def test_what_comes_in_during_a_sync_shares_the_next_write_and_sync_and_is_answered_in_order() -> None:
    disk = HeldDisk()
    made = entries("a", 10)

    async def body(submitter: Submitter, journal: Journal) -> None:
        await until(lambda: not journal.unmarked)
        await syncing(disk, submitter, "0", made[:1])
        steps = len(disk.log)
        for number in range(1, 10):
            submitter.submit(str(number), made[number : number + 1])
        assert submitter.outcomes == []
        disk.go.set()
        await submitter.wait_for(10)
        assert submitter.names == [str(number) for number in range(10)]
        assert disk.log[steps : steps + 3] == ["fdatasync", "pwrite", "fdatasync"]
        locations = [outcome[0] for _, outcome in submitter.outcomes if not isinstance(outcome, Error)]
        assert all(journal.read(location) for location in locations)
        assert len(set(locations)) == 10

    run(disk, body)
    assert len(opened(disk).recovered["a"].pieces) == 10


def test_an_answer_without_records_waits_for_what_was_submitted_before() -> None:
    disk = HeldDisk()

    async def body(submitter: Submitter, journal: Journal) -> None:
        await until(lambda: not journal.unmarked)
        await syncing(disk, submitter, "write", entries("a", 1))
        submitter.submit("heartbeat", [])
        assert submitter.outcomes == []
        disk.go.set()
        await submitter.wait_for(2)
        assert submitter.names == ["write", "heartbeat"]

    run(disk, body)


def test_an_answer_without_records_touches_no_disk_when_nothing_waits() -> None:
    disk = HeldDisk()

    async def body(submitter: Submitter, journal: Journal) -> None:
        await until(lambda: not journal.unmarked)
        steps = disk.steps
        disk.go.clear()
        submitter.submit("heartbeat", [])
        await submitter.wait_for(1)
        disk.go.set()
        assert submitter.outcomes == [("heartbeat", ())]
        assert disk.steps == steps

    run(disk, body)


def test_confirmed_marks_alone_are_written_and_not_synced() -> None:
    disk = HeldDisk()
    made = entries("a", 1)

    async def body(submitter: Submitter, journal: Journal) -> None:
        submitter.submit("write", made)
        await submitter.wait_for(1)
        await until(lambda: not journal.unmarked)
        steps = len(disk.log)
        submitter.submit("confirmed", [Record("a", StoreConfirmed(place_of(made[0])))])
        await submitter.wait_for(2)
        assert disk.log[steps:] == ["pwrite"]

    run(disk, body)


def test_a_journal_that_is_left_idle_says_on_disk_up_to_where_it_is_synced() -> None:
    disk = HeldDisk()

    async def body(submitter: Submitter, journal: Journal) -> None:
        submitter.submit("write", entries("a", 1))
        await submitter.wait_for(1)
        await until(lambda: not journal.unmarked)

    run(disk, body)


def test_once_too_much_waits_there_is_no_room_for_requests_but_what_they_made_is_taken() -> None:
    disk = HeldDisk()
    made = entries("a", 2, size=4096)

    async def body(submitter: Submitter, journal: Journal) -> None:
        await until(lambda: not journal.unmarked)
        await syncing(disk, submitter, "first", [Record("a", StorePromise(2))])
        submitter.group.check_room()
        submitter.submit("second", made[:1])
        assert submitter.group.waiting_bytes > 4096
        with pytest.raises(Overloaded):
            submitter.group.check_room()
        submitter.submit("third", made[1:])
        disk.go.set()
        await submitter.wait_for(3)
        assert submitter.errors() == []
        submitter.group.check_room()
        assert submitter.group.waiting_bytes == 0

    run(disk, body, queue_bytes=4000)
    assert len(opened(disk).recovered["a"].pieces) == 2


def test_a_batch_takes_no_more_than_its_bound() -> None:
    disk = HeldDisk()
    made = entries("a", 6, size=1024)

    async def body(submitter: Submitter, journal: Journal) -> None:
        await until(lambda: not journal.unmarked)
        await syncing(disk, submitter, "0", made[:1])
        steps = len(disk.log)
        for number in range(1, 6):
            submitter.submit(str(number), made[number : number + 1])
        disk.go.set()
        await submitter.wait_for(6)
        assert disk.log[steps:].count("fdatasync") >= 4

    run(disk, body, batch_bytes=3000)


def test_a_failed_sync_fails_all_that_waits_and_all_that_comes() -> None:
    disk = HeldDisk()
    made = entries("a", 3)

    async def body(submitter: Submitter, journal: Journal) -> None:
        await until(lambda: not journal.unmarked)
        await syncing(disk, submitter, "0", made[:1])
        disk.failing = {disk.steps + 1}
        submitter.submit("1", made[1:2])
        submitter.submit("heartbeat", [])
        disk.go.set()
        await submitter.wait_for(3)
        assert submitter.names == ["0", "1", "heartbeat"]
        assert submitter.errors() == [StorageFailed] * 3
        assert len(submitter.broken) == 1
        for records in (made[2:], []):
            with pytest.raises(StorageFailed):
                submitter.submit("late", records)

    run(disk, body)


def test_a_full_disk_fails_what_waits_and_what_builds_on_it_and_nothing_after_that() -> None:
    disk = HeldDisk()
    made = entries("a", 60)

    async def body(submitter: Submitter, journal: Journal) -> None:
        disk.capacity = 0
        journal_full = entries("a", 1, size=20_000)
        await syncing(disk, submitter, "fits", made[:1])
        submitter.submit("too much", journal_full)
        submitter.submit("heartbeat", [])
        disk.go.set()

        def on_full(outcome: Outcome) -> None:
            submitter.outcomes.append(("again", outcome))

        await submitter.wait_for(3)
        assert submitter.names == ["fits", "too much", "heartbeat"]
        assert submitter.errors() == [StorageFull] * 2
        submitter.group.submit([], on_full)
        submitter.submit("small", made[1:2])
        await submitter.wait_for(5)
        assert submitter.errors() == [StorageFull] * 2
        disk.capacity = 1 << 20
        submitter.submit("large", entries("a", 1, end=place_of(made[1]), size=20_000))
        await submitter.wait_for(6)
        assert submitter.errors() == [StorageFull] * 2

    run(disk, body)
    held = opened(disk).recovered["a"]
    assert (held.gave_up, len(held.pieces)) == (False, 3)


def test_what_is_submitted_between_a_full_disk_and_its_callback_fails_too() -> None:
    disk = HeldDisk()

    async def body(submitter: Submitter, journal: Journal) -> None:
        await until(lambda: not journal.unmarked)
        disk.capacity = 0
        submitter.submit("too much", entries("a", 1, size=20_000))
        started = asyncio.get_running_loop().time()
        while not submitter.group.failing:  # this loop may not run callbacks here
            assert asyncio.get_running_loop().time() < started + 10
        submitter.submit("heartbeat that vouches for it", [])
        submitter.submit("what follows it", entries("a", 1))
        disk.waiting.clear()
        assert not disk.waiting.wait(0.1)  # the thread leaves the disk alone
        await submitter.wait_for(3)
        assert submitter.errors() == [StorageFull] * 3

    run(disk, body)
    disk.capacity = 1 << 20
    assert opened(disk).recovered["a"].pieces == []


def test_a_callback_that_raises_holds_up_nobody() -> None:
    disk = HeldDisk()
    seen: list[str] = []

    async def body(submitter: Submitter, journal: Journal) -> None:
        def handler(_: object, context: dict[str, object]) -> None:
            seen.append(str(context["exception"]))

        asyncio.get_running_loop().set_exception_handler(handler)

        def bad(_: Outcome) -> None:
            raise RuntimeError("bad callback")

        await syncing(disk, submitter, "0", entries("a", 1))
        submitter.group.submit([], bad)
        submitter.submit("1", [])
        disk.go.set()
        await submitter.wait_for(2)
        submitter.submit("2", [])
        await submitter.wait_for(3)

    run(disk, body)
    assert seen == ["bad callback"]


def test_closing_writes_what_waits() -> None:
    disk = Disk()

    async def main() -> None:
        journal = opened(disk)
        broken: list[StorageFailed] = []
        group = GroupCommit(journal, asyncio.get_running_loop(), broken.append)
        found: list[Outcome] = []
        for records in (begin("a"), entries("a", 5)):
            group.submit(records, found.append)
        group.close()
        await until(lambda: len(found) == 2)
        assert all(isinstance(location, Location) for outcome in found for location in _located(outcome))
        with pytest.raises(StorageFailed, match="closed"):
            group.submit([], found.append)
        assert not broken

    asyncio.run(main())
    disk.lose_power()
    journal = Journal.open(DIRECTORY, OWNER, disk, segment_bytes=24 << 10, lock_seconds=0)
    assert len(journal.recovered["a"].pieces) == 5


def _located(outcome: Outcome) -> Sequence[Location]:
    assert not isinstance(outcome, Error)
    return outcome


def test_a_journal_without_room_looks_for_some_by_itself() -> None:
    disk = Disk()

    async def body(submitter: Submitter, journal: Journal) -> None:
        disk.capacity = 24 << 10
        made = entries("a", 100)
        for count, record in enumerate(made, 1):
            submitter.submit("one", [record])
            await submitter.wait_for(count)
            if not submitter.group.has_room:
                break
        disk.capacity = 1 << 20
        await until(lambda: submitter.group.has_room)

    run(disk, body)
