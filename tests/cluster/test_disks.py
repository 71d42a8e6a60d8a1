"""Followers' disks fill up or are damaged under a live system on a real Ray node; nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.cluster.conftest import make_database
from tests.cluster.test_faults import copies_agree, under_load
from tests.cluster.writers import Writers, pid_of, send
from tests.small_mount import SmallMount, small_mount

import raylite
from raylite.actors import handles
from raylite.actors.storage.files import RealFiles
from raylite.actors.storage.log_directory import SEGMENT_SUFFIX
from raylite.policies.errors import StorageFull
from raylite.policies.status import ActorStatus
from raylite.router.background import background

DISK_BYTES = 160 << 20


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[SmallMount]]:
    """A running system whose followers 0, 1 and 2 keep their journals on small disks of their own."""
    directory = tmp_path_factory.mktemp("disks")
    with ExitStack() as stack:
        mounts = [
            stack.enter_context(small_mount(directory / "followers" / str(index), DISK_BYTES))
            for index in range(3)
        ]
        raylite.init(data_dir=directory)
        stack.callback(raylite.shutdown)
        yield mounts


@pytest.fixture
def database(disks: list[SmallMount]) -> Iterator[raylite.Database]:
    yield from make_database()


async def problems_of(actor: str) -> tuple[str, ...]:
    """What this actor says is wrong; while it starts again, that."""
    try:
        found: ActorStatus = await handles.call(actor, "status", seconds=5)
    except raylite.Error as error:
        return (str(error),)
    return found.problems


async def says(actor: str, text: str, seconds: float = 20) -> None:
    """Waits until this actor tells of such a problem."""
    async with asyncio.timeout(seconds):
        while not any(text in one for one in await problems_of(actor)):
            await asyncio.sleep(0.1)


async def is_well(actor: str, seconds: float = 20) -> None:
    """Waits until this actor tells of no problem."""
    found: tuple[str, ...] = ()
    try:
        async with asyncio.timeout(seconds):
            while found := await problems_of(actor):
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{actor} still tells of {found}") from None


async def fill(mount: SmallMount, index: int) -> None:
    """Takes a follower's room, and restarts it, so that it is left with what it finds then."""
    mount.fill()
    await send(f"follower:{index}", signal.SIGKILL)
    await says(f"follower:{index}", "ree space")


def test_followers_without_room(database: raylite.Database, disks: list[SmallMount]) -> None:
    """One or two hold nothing up; a third ends writes at once, with an error that says why; freed, all is well."""

    async def case(here: raylite.AsyncDatabase, writers: Writers) -> None:
        primary = f"primary:{database.name}"
        for index in range(2):
            await fill(disks[index], index)
            await writers.acknowledges_after(time.monotonic(), 10)
        await says(primary, "follower:1 has no room left on its disk")
        await fill(disks[2], 2)
        await says(primary, "follower:2 has no room left on its disk")
        began = time.monotonic()
        with pytest.raises(StorageFull, match="follower:0, follower:1, follower:2"):
            await here.prepare("INSERT INTO t VALUES (-1, -1)").run()
        assert time.monotonic() - began < 1
        await here.prepare("SELECT count(*) FROM t").all()
        await here.with_session().prepare("SELECT count(*) FROM t").all()
        for mount in disks:
            mount.free()
        await writers.acknowledges_after(time.monotonic(), 20)
        await is_well(primary)

    try:
        under_load(database, case)
    finally:
        for mount in disks:
            mount.free()


@contextlib.contextmanager
def dead(index: int, folder: Path) -> Generator[None]:
    """Kills a follower and keeps its next process from its journal meanwhile."""
    pid = background.run(pid_of(f"follower:{index}"))
    os.kill(pid, signal.SIGKILL)
    lock = RealFiles().lock(folder / "lock", 5)
    try:
        yield
    finally:
        os.close(lock)


def flip(folder: Path, text: bytes) -> int:
    """Flips a bit of each place in the journal where this stands; how many there were."""
    count = 0
    for segment in folder.glob(f"*{SEGMENT_SUFFIX}"):
        data = segment.read_bytes()
        at = data.find(text)
        with segment.open("r+b") as file:
            while at >= 0:
                file.seek(at)
                file.write(bytes([data[at] ^ 4]))
                count += 1
                at = data.find(text, at + 1)
    return count


def has(folder: Path, text: bytes) -> bool:
    return any(text in segment.read_bytes() for segment in folder.glob(f"*{SEGMENT_SUFFIX}"))


def write_marked(database: raylite.Database, text: str, *folders: Path) -> None:
    """Writes a row that can be found in these journals, and something behind it: so it is no torn tail there."""
    database.exec(f"CREATE TABLE marked (a); INSERT INTO marked VALUES ('{text}')")
    deadline = time.monotonic() + 10
    while not all(has(folder, text.encode()) for folder in folders):
        assert time.monotonic() < deadline, "a quorum is enough, but these are slow"
        time.sleep(0.1)
    for _ in range(20):
        database.prepare("INSERT INTO t VALUES (0, 0)").run()
        time.sleep(0.02)


async def reads(database: raylite.AsyncDatabase, sql: str, expected: object, seconds: float = 30) -> None:
    """Waits until the primary, whoever it is by then, answers this."""
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(raylite.Error):
                rows = await database.prepare(sql).raw()
                assert rows[0][0] == expected
                return
            await asyncio.sleep(0.1)


def test_flipped_bits_in_a_journal(database: raylite.Database, disks: list[SmallMount]) -> None:
    """A damaged follower says so, joins that database anew, and then its word counts; it keeps its other ones."""
    primary = f"primary:{database.name}"
    folder = disks[0].path.parent / "3"
    for n in range(50):
        database.prepare("INSERT INTO t VALUES (1, ?)").bind(n).run()
    write_marked(database, "a text that stands nowhere else", folder)
    with dead(3, folder):
        assert flip(folder, b"a text that stands nowhere else")
    entry = background.run(handles.call("registry", "lookup", database.name))

    async def case() -> None:
        here = await raylite.connect_async(database.name)
        await says("follower:3", entry.database_id)
        await says(primary, "follower:3 holds this database no more")
        await here.prepare("INSERT INTO t VALUES (2, 2)").run()
        await is_well(primary)
        other = await raylite.connect_async("untouched", create=True)
        await other.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        stopped = [await send(f"follower:{index}", signal.SIGSTOP) for index in (0, 1)]
        try:
            await here.prepare("INSERT INTO t VALUES (3, 3)").run()
            await other.prepare("INSERT INTO t VALUES (2)").run()
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        await send(primary, signal.SIGKILL)
        await reads(here, "SELECT count(*) FROM t WHERE client > 0", 52)
        await reads(here, "SELECT a FROM marked", "a text that stands nowhere else")
        await copies_agree(here)

    background.run(case())


def test_a_follower_that_lost_its_disk_joins_anew(
    database: raylite.Database, disks: list[SmallMount]
) -> None:
    folder = disks[0].path.parent / "4"
    with dead(4, folder):
        for path in folder.iterdir():
            if path.name != "lock":
                path.unlink()

    async def case(here: raylite.AsyncDatabase, writers: Writers) -> None:
        await says(f"primary:{here.name}", "follower:4 holds this database no more")
        await is_well(f"primary:{here.name}")
        stopped = [await send(f"follower:{index}", signal.SIGSTOP) for index in (0, 1)]
        try:
            await asyncio.sleep(1)
            await writers.acknowledges_after(time.monotonic(), 10)
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)

    under_load(database, case)


def test_a_damaged_follower_is_asked_for_nothing(database: raylite.Database, disks: list[SmallMount]) -> None:
    """A new replica and a new primary are filled from followers: none gets a byte of what was damaged."""
    folders = {index: disks[0].path.parent / str(index) for index in (3, 4)}
    write_marked(database, "another text of its own", *folders.values())
    for index, folder in folders.items():
        with dead(index, folder):
            assert flip(folder, b"another text of its own")

    async def case() -> None:
        here = await raylite.connect_async(database.name)
        for index in (3, 4):
            await says(f"primary:{database.name}", f"follower:{index} holds this database no more")
        for actor in (f"primary:{database.name}", f"replica:{database.name}:weur"):
            await send(actor, signal.SIGKILL)
        await reads(here, "SELECT a FROM marked", "another text of its own")
        await copies_agree(here)

    background.run(case())
