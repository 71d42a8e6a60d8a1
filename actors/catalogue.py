"""The registry's tables, read and written through its own database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from raylite.actors.stream import from_failure
from raylite.actors.token_book import TABLE as TOKENS
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry, Fork
from raylite.policies.errors import ConstraintError, Corrupt, DatabaseExists, DatabaseNotFound, NotAllowed
from raylite.policies.query import Answer, Failure, Mode, Query, Statement, Value
from raylite.policies.quorum import Members
from raylite.policies.rebuilt import Rebuilt

TABLES = {
    "databases": """
CREATE TABLE databases (
  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, members BLOB, region TEXT NOT NULL,
  replicas TEXT NOT NULL, replication TEXT NOT NULL, created_us INTEGER NOT NULL
) STRICT
""",
    "forks": """
CREATE TABLE forks (
  id TEXT PRIMARY KEY, parent TEXT NOT NULL, bookmark TEXT NOT NULL, time_us INTEGER NOT NULL
) STRICT
""",
    "deleted": """
CREATE TABLE deleted (id TEXT PRIMARY KEY, members BLOB, deleted_us INTEGER NOT NULL) STRICT
""",
    "asleep": """
CREATE TABLE asleep (id TEXT PRIMARY KEY, since_us INTEGER NOT NULL) STRICT
""",
    "rebuilt": "CREATE TABLE rebuilt (id TEXT PRIMARY KEY, rebuilt TEXT NOT NULL) STRICT",
    "systems": "CREATE TABLE systems (id TEXT PRIMARY KEY) STRICT",
    "tokens": TOKENS,
}
COLUMNS = "id, name, members, region, replicas, replication, created_us"
_ENTRIES = (
    f"SELECT {COLUMNS}, parent, bookmark, time_us, since_us, rebuilt FROM databases"
    " LEFT JOIN forks USING (id) LEFT JOIN asleep USING (id) LEFT JOIN rebuilt USING (id)"
)

Ask = Callable[[Query], Awaitable[Answer | Failure]]


class Deleted(msgspec.Struct, frozen=True):
    """A deleted database. members: its first ones, None if it never had any; deleted_us: wall clock."""

    database_id: str
    members: Members | None
    deleted_us: int


class Catalogue:
    """Durable once a method returns: its answer waited for a quorum like any other."""

    def __init__(self, database_id: str, ask: Ask) -> None:
        self._database_id, self._ask = database_id, ask

    async def prepare(self) -> None:
        """Makes the tables that are missing; writes nothing if none is, for followers may have no room."""
        found = {row[0] for row in await self.run("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        for name, table in TABLES.items():
            if name not in found:
                await self.run(table)

    async def insert(self, entry: DatabaseEntry) -> None:
        """A new database, asleep; raises `DatabaseExists`, or `NotAllowed` for a fork that was given up meanwhile."""
        values = (
            entry.database_id, entry.name, None, entry.region, ",".join(entry.replicas), entry.replication,
            entry.created_us,
        )  # fmt: skip
        new = [
            Statement(f"INSERT INTO databases ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", values),
            _asleep(entry.database_id, entry.created_us),
        ]
        if entry.fork:
            fork = (entry.database_id, entry.fork.parent, entry.fork.bookmark, entry.fork.time_us)
            new += [
                Statement("INSERT INTO forks (id, parent, bookmark, time_us) VALUES (?, ?, ?, ?)", fork),
                Statement("INSERT INTO deleted (id, deleted_us) VALUES (?, 0)", (entry.database_id,)),
                Statement("DELETE FROM deleted WHERE id = ?", (entry.database_id,)),
            ]
        try:
            await self._run_all(*new)
        except ConstraintError:
            if any(one.database_id == entry.database_id for one in await self.deleted()):
                raise NotAllowed(f"Making fork {entry.name} so late", "Fork again.") from None
            raise DatabaseExists(entry.name) from None

    async def set_members(self, entry: DatabaseEntry, members: Members) -> DatabaseEntry:
        """Writes the first members, once; returns the entry with those that are written."""
        encoded = msgspec.msgpack.encode(members)
        await self.run(
            "UPDATE databases SET members = ? WHERE id = ? AND members IS NULL", encoded, entry.database_id
        )
        return await self.get(entry.name)

    async def note_members(self, database_id: str, members: Members) -> None:
        """Writes who the members are by now; nothing if there is no such database."""
        encoded = msgspec.msgpack.encode(members)
        await self.run(
            "UPDATE databases SET members = ?1 WHERE id = ?2 AND members != ?1", encoded, database_id
        )

    async def find(self, database_id: str) -> DatabaseEntry | None:
        """The database of this id."""
        rows = await self.run(f"{_ENTRIES} WHERE id = ?", database_id)
        return _entry(rows[0]) if rows else None

    async def get(self, name: str) -> DatabaseEntry:
        """The database of this name; raises `DatabaseNotFound`."""
        rows = await self.run(f"{_ENTRIES} WHERE name = ?", name)
        if not rows:
            raise DatabaseNotFound(name)
        return _entry(rows[0])

    async def all(self) -> list[DatabaseEntry]:
        """All databases, by name."""
        return [_entry(row) for row in await self.run(f"{_ENTRIES} ORDER BY name")]

    async def set_replication(self, database_id: str, replication: str, replicas: Sequence[str]) -> None:
        """Where this database is to have replicas from here on; see `DatabaseEntry`."""
        update = "UPDATE databases SET replication = ?, replicas = ? WHERE id = ?"
        await self.run(update, replication, ",".join(replicas), database_id)

    async def awake(self) -> list[DatabaseEntry]:
        """Those that have actors, by name."""
        return [_entry(row) for row in await self.run(f"{_ENTRIES} WHERE since_us IS NULL ORDER BY name")]

    async def fall_asleep(self, database_id: str, since_us: int) -> None:
        """This database has no actors from here on; nothing if it had none."""
        await self._run_all(_asleep(database_id, since_us))

    async def wake(self, database_id: str) -> None:
        """This database is to have actors from here on."""
        await self.run("DELETE FROM asleep WHERE id = ?", database_id)

    async def delete(self, entry: DatabaseEntry, deleted_us: int) -> None:
        """Removes a database, for good: its name is free, and its id is noted among those that are deleted."""
        members = msgspec.msgpack.encode(entry.members)
        note = "INSERT OR IGNORE INTO deleted (id, members, deleted_us) VALUES (?, ?, ?)"
        await self._run_all(
            Statement(note, (entry.database_id, members, deleted_us)),
            Statement("DELETE FROM databases WHERE id = ?", (entry.database_id,)),
            Statement("DELETE FROM forks WHERE id = ?", (entry.database_id,)),
            Statement("DELETE FROM asleep WHERE id = ?", (entry.database_id,)),
            Statement("DELETE FROM rebuilt WHERE id = ?", (entry.database_id,)),
        )

    async def deleted(self) -> list[Deleted]:
        """Deleted databases of which something may be left, the first first."""
        rows = await self.run("SELECT id, members, deleted_us FROM deleted ORDER BY deleted_us")
        return [_deleted(row) for row in rows]

    async def note_stray(self, database_id: str, deleted_us: int) -> None:
        """Notes a fork as deleted that was never made, unless there is such a database; from here on none can be."""
        await self.run(
            "INSERT OR IGNORE INTO deleted (id, members, deleted_us) "
            "SELECT ?1, NULL, ?2 WHERE NOT EXISTS (SELECT 1 FROM databases WHERE id = ?1)",
            database_id,
            deleted_us,
        )

    async def forget(self, database_id: str) -> None:
        """Nothing is left of this deleted database."""
        await self.run("DELETE FROM deleted WHERE id = ?", database_id)

    async def was_rebuilt_for(self, system_id: str) -> bool:
        """Whether `rebuild` was done for this system."""
        return bool(await self.run("SELECT id FROM systems WHERE id = ?", system_id))

    async def rebuild(self, system_id: str, rebuilt: Mapping[str, Rebuilt]) -> None:
        """Takes note, in one transaction, of how far each database was rebuilt, by id; none of them has members now.

        Nor are members known of those that are deleted. This system's catalogue is another one than its
        predecessor's from here on.
        """
        insert = "INSERT OR REPLACE INTO rebuilt (id, rebuilt) SELECT key, value FROM json_each(?)"
        await self._run_all(
            Statement("INSERT INTO systems (id) VALUES (?)", (system_id,)),
            Statement("UPDATE databases SET members = NULL", ()),
            Statement("UPDATE deleted SET members = NULL", ()),
            Statement(insert, (msgspec.json.encode(rebuilt).decode(),)),
        )

    async def run(self, sql: str, *params: Value) -> Sequence[tuple[Value, ...]]:
        """Runs one statement; its rows. Raises its error."""
        return await self._run_all(Statement(sql, params))

    async def _run_all(self, *statements: Statement) -> Sequence[tuple[Value, ...]]:
        """Runs these in one transaction; the rows of the last."""
        mode = Mode.RUN if len(statements) == 1 else Mode.BATCH
        answer = await self._ask(Query(self._database_id, mode, statements, "", limits.QUERY_SECONDS, True))
        if isinstance(answer, Failure):
            raise from_failure(answer)
        return answer.results[-1].rows


def _asleep(database_id: str, since_us: int) -> Statement:
    return Statement("INSERT OR IGNORE INTO asleep (id, since_us) VALUES (?, ?)", (database_id, since_us))


def _deleted(row: tuple[Value, ...]) -> Deleted:
    database_id, members, deleted_us = row
    assert isinstance(deleted_us, int), "the table is STRICT"
    return Deleted(str(database_id), _members(members), deleted_us)


def _members(encoded: Value) -> Members | None:
    if not isinstance(encoded, bytes):
        return None
    try:
        return msgspec.msgpack.decode(encoded, type=Members | None)
    except (ValueError, RecursionError) as error:
        raise Corrupt("the catalogue", "a database's members", str(error)) from error


def _rebuilt(encoded: Value) -> Rebuilt | None:
    if encoded is None:
        return None
    try:
        return msgspec.json.decode(str(encoded), type=Rebuilt)
    except (ValueError, RecursionError) as error:
        raise Corrupt("the catalogue", "up to where a database was rebuilt", str(error)) from error


def _fork(parent: Value, bookmark: Value, time_us: Value) -> Fork | None:
    return Fork(str(parent), str(bookmark), time_us) if isinstance(time_us, int) else None


def _entry(row: tuple[Value, ...]) -> DatabaseEntry:
    database_id, name, members, region, replicas, replication, created_us, *fork, asleep_us, rebuilt = row
    assert isinstance(created_us, int), "the table is STRICT"
    return DatabaseEntry(
        str(database_id),
        str(name),
        _members(members),
        str(region),
        tuple(one for one in str(replicas).split(",") if one),
        str(replication),
        created_us,
        _fork(*fork),
        asleep_us is not None,
        _rebuilt(rebuilt),
    )
