"""What is known of a database that was rebuilt from cold storage alone."""

from __future__ import annotations

import msgspec


class Rebuilt(msgspec.Struct, frozen=True):
    """Up to where a database was rebuilt: what was acknowledged behind `bookmark` is lost.

    bookmark: the newest whole entry that cold storage held, as text; time_us: in it; epochs: of the log up to it;
    epoch: of the entry that goes on from there, above all that may have been; problem: why it cannot be rebuilt, in
    words, "" if it can.
    """

    bookmark: str
    time_us: int
    epochs: tuple[tuple[int, int], ...] = ()
    epoch: int = 0
    problem: str = ""


class RebuiltDatabase(msgspec.Struct, frozen=True):
    """One line of what a recovery says."""

    name: str
    database_id: str
    rebuilt: Rebuilt


class Recovery(msgspec.Struct, frozen=True):
    """What a recovery says: the catalogue first, then its databases by name.

    known: the ids of all of these, and of the deleted ones that the catalogue still notes.
    """

    databases: tuple[RebuiltDatabase, ...]
    known: tuple[str, ...]
