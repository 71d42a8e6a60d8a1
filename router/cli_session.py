"""What commands ask of a running system."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from raylite.actors import gateways, handles
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.status import ActorStatus, Restored, Verified
from raylite.policies.system import REGISTRY
from raylite.router import api, migrations
from raylite.router.background import background
from raylite.router.client import DatabaseInfo
from raylite.router.dump import Selection
from raylite.router.followers import replace_follower
from raylite.router.moments import as_text
from raylite.router.moving import Exported, ImportedFile, Watch
from raylite.router.own_stdout import kept_from_others
from raylite.router.progress import moving, steps
from raylite.router.result import Result
from raylite.router.runtime import statuses_of


class SystemStatus(msgspec.Struct, frozen=True):
    """All actors of a system. tolerated_nodes: how many nodes may be lost, whichever, without losing a quorum; asleep:
    databases that have no actors now."""

    actors: tuple[ActorStatus, ...]
    missing: tuple[str, ...]
    tolerated_nodes: int
    asleep: int = 0


class Executed(msgspec.Struct, frozen=True):
    """What SQL gave. bookmark: what another session must name to see as much; "" if it ran in none."""

    results: Sequence[Result]
    bookmark: str = ""


class CliSession:
    """A process' membership in the system of one data directory, for the time of one command."""

    @classmethod
    @contextmanager
    def joined(cls, data_dir: Path | None) -> Generator[CliSession]:
        """Joins the system that runs for this directory; raises `Unreachable` if none does."""
        with kept_from_others():
            with steps("Joining raylite"):
                api.join_running(data_dir)
            try:
                yield cls()
            finally:
                api.shutdown()

    def system(self) -> SystemStatus:
        """How all actors are."""
        return background.run(self._system())

    def create(self, name: str, location: str, replication: str) -> DatabaseEntry:
        """Makes a database."""
        work = api.create_database(name, location_hint=location, replication=replication)
        return background.run(work)

    def databases(self) -> list[DatabaseEntry]:
        """All databases."""
        found: list[DatabaseEntry] = background.run(handles.call(REGISTRY, "databases"))
        return found

    def delete(self, name: str) -> None:
        """Removes a database."""
        background.run(handles.call(REGISTRY, "delete", name))

    def info(self, name: str) -> DatabaseInfo:
        """One database and its actors."""
        return api.connect(name).info()

    def execute(
        self, name: str, sql: str, constraint: str | None, region: str | None, *, create: bool
    ) -> Executed:
        """Runs SQL: in a session if there is a constraint, which takes one statement; else as a script."""
        database = api.connect(name, create=create, region=region)
        if constraint is not None:
            session = database.with_session(constraint)
            return Executed([session.prepare(sql).all()], session.bookmark)
        with steps(f"Running SQL on {name}"):
            return Executed(database.exec(sql))

    def read_past(self, name: str, sql: str, moment: str, region: str | None) -> Executed:
        """Runs one statement on the database as it was."""
        with steps(f"Reading {name} as it was"):
            past = api.connect(name, region=region).at(moment)
            return Executed([past.prepare(sql).all()], past.bookmark)

    def restore(self, name: str, moment: str) -> Restored:
        """Makes the database what it was."""
        database = api.connect(name)
        with steps(f"Restoring {name}"):
            return database.restore(moment)

    def fork(self, name: str, new: str, moment: str | None) -> DatabaseInfo:
        """Makes a database that begins as another one was."""
        database = api.connect(name)
        with steps(f"Forking {name}"):
            return database.fork(new, moment).info()

    def verify(self, name: str) -> Verified:
        """Compares a database with what cold storage gives of it."""
        database = api.connect(name)
        with steps(f"Verifying {name}"):
            return database.verify()

    def replace_follower(self, follower: str, other: str) -> dict[str, str]:
        """Puts another follower in its place everywhere; which one took it, by database."""
        with steps(f"Replacing {follower}") as step:
            return replace_follower(follower, other, lambda done, of: step(f"{done} of {of} databases"))

    def time_travel_info(self, name: str, timestamp: str | None) -> dict[str, object]:
        """The bookmark of now or of a time, and the oldest state that is kept."""
        database = api.connect(name)
        with steps(f"Asking cold storage about {name}"):
            span = database.span()
            bookmark = span.newest if timestamp is None else database.at(timestamp).bookmark
        return {"bookmark": bookmark, "oldest": span.oldest, "oldest_time": as_text(span.oldest_us)}

    def export(
        self, name: str, path: Path, kind: str | None, selection: Selection, region: str | None
    ) -> Exported:
        """Writes a database into a file."""
        database = api.connect(name, region=region)
        with moving(f"Exporting {name}") as progress:
            return database.export(
                path,
                kind=kind,
                tables=selection.tables,
                schema=selection.schema,
                data=selection.data,
                progress=progress,
            )

    def import_file(self, name: str, path: Path, *, create: bool) -> ImportedFile:
        """Applies a file to a database, whole."""
        database = api.connect(name, create=create)
        with moving(f"Importing into {name}") as progress:
            return database.import_file(path, progress=progress)

    def pending_migrations(self, name: str, folder: Path) -> list[Path]:
        """The migrations of a folder that a database does not have."""
        return background.run(self._pending_migrations(name, folder))

    def apply_migrations(self, name: str, folder: Path) -> list[str]:
        """Applies them in order; the names of those that this call applied."""
        applied: list[str] = []
        for path in self.pending_migrations(name, folder):
            with moving(f"Applying {path.name}") as progress:
                if background.run(self._apply_migration(name, path, progress), limits.LONGEST_QUERY_SECONDS):
                    applied.append(path.name)
        return applied

    async def _pending_migrations(self, name: str, folder: Path) -> list[Path]:
        return await migrations.pending(await api.connect_async(name), folder)

    async def _apply_migration(self, name: str, path: Path, progress: Watch) -> bool:
        return await migrations.apply(await api.connect_async(name), path, progress)

    async def _system(self) -> SystemStatus:
        overview = await handles.call(REGISTRY, "overview", seconds=limits.START_SECONDS)
        actors = (*overview.actors, *await gateways.all_names())
        statuses = await statuses_of(actors)
        answered = {one.actor for one in statuses}
        missing = tuple(one for one in actors if one not in answered)
        return SystemStatus(statuses, missing, overview.tolerated_nodes, overview.asleep)
