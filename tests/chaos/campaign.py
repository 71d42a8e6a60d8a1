"""A campaign: clients in all regions, faults as a seed says, and a look at whether all promises held."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from pathlib import Path

import msgspec
from tests.chaos.clients import REGIONS, Clients
from tests.chaos.faults import FOLLOWERS, Faults, Say, Setting
from tests.chaos.history import Outcome, violations
from tests.chaos.records import Asked, End, Fault, Record

import raylite
from raylite.actors import handles
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import Unreachable
from raylite.policies.status import ActorStatus, CopyCheck, Verified
from raylite.policies.system import REGISTRY

HEAL_SECONDS = 60.0
"""Once faults are over, all is well again within this time."""


class Report(msgspec.Struct, frozen=True):
    """What happened in one campaign. history: the file of all operations and faults, see `records`."""

    seed: int
    seconds: float
    faults: dict[str, int]
    outcomes: dict[str, int]
    violations: tuple[str, ...]
    history: Path


class Grounds(msgspec.Struct, frozen=True):
    """Folders of campaigns. data: of the system; rules: see `rules`; histories: where they are written."""

    data: Path
    rules: Path
    histories: Path


async def run(name: str, seed: int, seconds: float, grounds: Grounds, say: Say) -> Report:
    """The campaign of this seed on a database with an empty table `t (client, n)`. Times are the machine's own.

    So a seed gives the same faults again, not the same moments.
    """
    record = Record(grounds.histories / f"{name}.jsonl")
    try:
        return await _run(name, seed, seconds, grounds, record, say)
    finally:
        record.close()


async def _run(name: str, seed: int, seconds: float, grounds: Grounds, record: Record, say: Say) -> Report:
    began = time.monotonic()

    def tell(what: str) -> None:
        record.add(Fault(time.monotonic(), what))
        say(f"{time.monotonic() - began:7.2f} {what}")

    chance = random.Random(seed)
    databases = {one: await raylite.connect_async(name, region=one) for one in REGIONS}
    entry: DatabaseEntry = await handles.call(REGISTRY, "lookup", name)
    setting = Setting(name, entry.database_id, REGIONS, grounds.data, grounds.rules)
    clients = Clients(databases, random.Random(seed + 1), lambda one: record.add(Asked(one)))
    faults = Faults(setting, chance, tell)
    try:
        while time.monotonic() - began < seconds:
            await asyncio.sleep(chance.uniform(0.2, 3.0))
            await faults.one()
    finally:
        await faults.end()
    wrong = [*faults.wrong, *await _healed(name, clients), *clients.late]
    await clients.stop()
    rows = [
        (int(str(client)), int(str(n)))
        for client, n in await databases[REGIONS[0]].prepare("SELECT * FROM t").raw()
    ]
    wrong += violations(clients.operations, rows) + await _copies(name) + await _followers()
    writes = Counter(str(one.outcome) for one in clients.operations if one.is_write)
    writes["reads"] = sum(not one.is_write and one.outcome is Outcome.DONE for one in clients.operations)
    record.add(End(tuple(rows), tuple(wrong)))
    lasted = time.monotonic() - began
    return Report(seed, lasted, dict(faults.counts), dict(writes), tuple(wrong), record.path)


async def _healed(name: str, clients: Clients) -> list[str]:
    try:
        await clients.done_after(time.monotonic(), HEAL_SECONDS)
    except TimeoutError:
        return [f"{name}: no write was acknowledged within {HEAL_SECONDS} s of the last fault"]
    return []


async def _followers() -> list[str]:
    """Every follower answers, and has nothing to complain of."""
    return [one for found in await asyncio.gather(*map(_back, FOLLOWERS)) for one in found]


async def _back(follower: str) -> list[str]:
    """What is still wrong with it when it has had its time."""
    until = time.monotonic() + HEAL_SECONDS
    while True:
        try:
            status: ActorStatus = await handles.call(follower, "status", seconds=5)
            problems = list(status.problems)
        except raylite.Error as error:
            problems = [str(error)]
        if not problems or time.monotonic() > until:
            return [f"{follower}, {HEAL_SECONDS} s after the last fault: {one}" for one in problems]
        await asyncio.sleep(0.3)


async def _copies(name: str) -> list[str]:
    """Every copy is whole, and at one bookmark the same; so is what cold storage gives.

    A primary that was stopped may be replaced just now, so whoever does not answer is asked again.
    """
    until = time.monotonic() + HEAL_SECONDS
    while True:
        try:
            return await _compared(name)
        except raylite.Error as error:
            if time.monotonic() > until:
                return [f"{HEAL_SECONDS} s after the last fault: {error}"]
        await asyncio.sleep(0.3)


async def _compared(name: str) -> list[str]:
    """What is wrong with the copies; raises an `Error` if some do not answer, or are not at one bookmark yet."""
    actors = [f"primary:{name}", *(f"replica:{name}:{one}" for one in REGIONS)]
    found: list[CopyCheck] = await asyncio.gather(*(handles.call(one, "check", seconds=10) for one in actors))
    bookmarks = sorted({one.bookmark for one in found})
    if len(bookmarks) > 1:
        raise Unreachable(name, f"its copies are at {bookmarks}")
    wrong = [f"{one.actor}: {problem}" for one in found for problem in one.problems]
    if len({one.digest for one in found}) > 1:
        wrong.append(f"copies differ at {bookmarks}")
    verified: Verified = await handles.call(actors[0], "verify", seconds=HEAL_SECONDS)
    return wrong + [f"cold storage: {one}" for one in verified.problems]
