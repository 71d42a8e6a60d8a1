"""Schema changes as numbered files, each applied once: files and table are those of `wrangler d1 migrations`.

A migration and the row that notes it are one transaction, so it is applied whole and noted, or neither. Whoever
applies the same one at the same time fails at that row, and changes nothing.
"""

from __future__ import annotations

import asyncio
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Final

from raylite.actors.storage.spool import translated
from raylite.policies.errors import OutcomeUnknown, ParameterError, StatementError
from raylite.router.client import AsyncDatabase
from raylite.router.moving import Watch

TABLE: Final = "d1_migrations"
SUFFIX: Final = ".sql"
_DIGITS: Final = 4
_CREATE_TABLE: Final = (
    f'CREATE TABLE IF NOT EXISTS "{TABLE}"('
    "id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, "
    "applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL);"
)


def create(folder: Path, message: str, now: datetime) -> Path:
    """Makes an empty migration with the next number, and the folder if there is none.

    Raises `ParameterError` if the message cannot be a part of a file's name, `StorageFull` or `StorageFailed`.
    """
    name = message.strip().replace(" ", "_")
    if not name or "/" in name or "\0" in name:
        raise ParameterError(f"{message!r} cannot be a part of a file's name")
    with translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
        number = f"{_next_number(folder):0{_DIGITS}}"
        path = folder / f"{number}_{name}{SUFFIX}"
        time = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with path.open("x") as file:
            file.write(f"-- Migration number: {number} \t {time}\n")
    return path


def files(folder: Path) -> list[Path]:
    """The migrations of a folder, in the order of their names; raises `ParameterError` if there is no such folder."""
    if not folder.is_dir():
        raise ParameterError(f"there is no folder {folder} with migrations")
    return sorted((path for path in folder.iterdir() if path.suffix == SUFFIX), key=lambda path: path.name)


async def pending(database: AsyncDatabase, folder: Path) -> list[Path]:
    """The migrations of a folder that the database does not have, in order; nothing is written."""
    applied = await _applied(database)
    return [path for path in files(folder) if path.name not in applied]


async def apply(database: AsyncDatabase, path: Path, progress: Watch | None = None) -> bool:
    """Applies a migration in one transaction; False if somebody else did at the same time.

    Raises what an import raises: nothing of it was applied then. `OutcomeUnknown` if nobody can say.
    """
    with tempfile.TemporaryDirectory(prefix="raylite-migration-") as folder:
        text = Path(folder, path.name)
        await asyncio.to_thread(_write, path, text)
        try:
            await database.import_file(text, progress=progress)
        except (OutcomeUnknown, StatementError) as error:
            if path.name not in await _applied(database):
                raise
            return isinstance(error, OutcomeUnknown)
    return True


async def _applied(database: AsyncDatabase) -> frozenset[str]:
    """The names of migrations that the primary has."""
    session = database.with_session("first-primary")
    there = session.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").bind(TABLE)
    if not await there.raw():
        return frozenset()
    return frozenset(str(row[0]) for row in await session.prepare(f'SELECT name FROM "{TABLE}"').raw())


def _write(path: Path, target: Path) -> None:
    """The migration with what notes it."""
    with translated(path):
        text = path.read_bytes()
    name = path.name.replace("'", "''")
    note = f"\n;\nINSERT INTO \"{TABLE}\" (name) VALUES ('{name}');\n"
    with translated(target):
        target.write_bytes(_CREATE_TABLE.encode() + b"\n" + text + note.encode())


def _next_number(folder: Path) -> int:
    """One more than the highest number that a name begins with."""
    numbers = (path.name.partition("_")[0] for path in files(folder))
    return max((int(one) for one in numbers if one.isdecimal()), default=0) + 1
