"""The connection by which a replica's leader holds SQLite's write lock, and checkpoints.

It holds the lock with BEGIN IMMEDIATE and ends that with COMMIT alone: ROLLBACK wipes the WAL-index beyond the header,
where entries wait. It writes nothing itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path

import apsw

from raylite.actors.storage.engine_apsw import connect
from raylite.actors.storage.wal_medium import full_or
from raylite.policies import limits
from raylite.policies.errors import Corrupt, StorageFull


class Guard:
    """Holds the write lock of a database from its making to `close`, but while it is lowered. Used by one thread."""

    def __init__(self, database: Path) -> None:
        """Reads page 1 alone, so it opens a file that is not whole yet. Raises `Corrupt`, `StorageFull`."""
        self._database = database
        with sqlite_errors(database):
            self._connection = connect(str(database), apsw.SQLITE_OPEN_READWRITE)
            self._connection.set_busy_timeout(int(limits.CHECKPOINT_WAIT_SECONDS * 1000))
            self._connection.execute("PRAGMA wal_autocheckpoint=0")
            self._connection.execute("BEGIN IMMEDIATE")

    @contextlib.contextmanager
    def lowered(self) -> Generator[None]:
        """Lets go of the lock and of the snapshot that comes with it; raises `Corrupt` if another took the lock."""
        with sqlite_errors(self._database):
            self._connection.execute("COMMIT")
            try:
                yield
            finally:
                self._connection.execute("BEGIN IMMEDIATE")

    @property
    def is_up(self) -> bool:
        """Whether it holds the lock."""
        return self._connection.in_transaction

    def copy_wal(self) -> bool:
        """Copies the WAL into the database file as far as snapshots allow; whether that was all of it."""
        self._connection.execute("PRAGMA synchronous=OFF")
        try:
            frames, copied = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:  # another client's checkpoint is under way
            return False
        return frames == copied >= 0

    def restart_wal(self) -> None:
        """Empties a WAL that was copied whole, if within `limits.CHECKPOINT_WAIT_SECONDS` no snapshot needs it."""
        with contextlib.suppress(apsw.BusyError):
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def close(self) -> None:
        """Closes the connection; nothing is checkpointed."""
        if self.is_up:
            self._connection.execute("COMMIT")
        self._connection.close()


@contextlib.contextmanager
def sqlite_errors(database: Path) -> Generator[None]:
    """Turns errors of SQLite and of the file system into `StorageFull`, `Corrupt` and OSError."""
    try:
        yield
    except apsw.FullError as error:
        raise StorageFull(str(database), str(error)) from error
    except OSError as error:
        raise full_or(error, str(database)) from error
    except apsw.Error as error:
        raise Corrupt("a replica's copy", str(database), str(error)) from error
