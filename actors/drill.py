"""A drill: now and then a primary has its database restored from cold storage alone, and compares the two.

Nobody knows that a restore works before it has been done.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from raylite.actors.storage.wal_medium import full_or
from raylite.policies import limits
from raylite.policies.errors import Error
from raylite.policies.status import Verified

Clock = Callable[[], float]


class _Note(msgspec.Struct, frozen=True):
    """Of the last drill. at: seconds since 1970."""

    at: float
    found: Verified


class Drill:
    """That of one reign, which goes on from the last one's. note: the file in which that is kept; clock: the wall's."""

    def __init__(self, verify: Callable[[], Awaitable[Verified]], note: Path, clock: Clock) -> None:
        self._verify, self._path, self._clock = verify, note, clock
        self._last = _read(note)
        self._failed = ""

    @property
    def age_seconds(self) -> float | None:
        """How long ago the last one was; None if there was none here."""
        return max(0.0, self._clock() - self._last.at) if self._last else None

    @property
    def problem(self) -> str:
        """What the last one found, or why there was none, in words; "" if all was well."""
        found = self._last.found if self._last else None
        if found and found.problems:
            return f"cold storage does not give this database back at {found.bookmark}: {'; '.join(found.problems)}"
        return self._failed

    async def run(self) -> None:
        """One after the other, for ever. After one that failed the next is due as if it had not been."""
        while True:
            await asyncio.sleep(self._pause())
            try:
                found = await self._verify()
                self._last = _Note(self._clock(), found)
                await asyncio.to_thread(_write, self._path, self._last)
                self._failed = ""
            except Error as error:
                self._failed = f"cold storage could not be verified: {error}"

    def _pause(self) -> float:
        """Spread, so that many databases do not do it at once."""
        if self._failed:
            return limits.DRILL_SECONDS * 0.1
        if self._last is None:
            return limits.DRILL_SECONDS * random.random()
        due = limits.DRILL_SECONDS * (0.9 + 0.2 * random.random()) - (self._clock() - self._last.at)
        return min(max(due, 0.0), limits.DRILL_SECONDS)


def _read(path: Path) -> _Note | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Note)
    except (OSError, ValueError, RecursionError):
        return None


def _write(path: Path, note: _Note) -> None:
    try:
        path.write_bytes(msgspec.json.encode(note))
    except OSError as error:
        raise full_or(error, str(path)) from error
