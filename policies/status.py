"""What an actor says of itself when it is asked how it is."""

from __future__ import annotations

import msgspec


class ActorStatus(msgspec.Struct, frozen=True):
    """One actor. bookmark: text of the newest entry that is confirmed as far as it knows, "" if there is none.

    lag_ms: from the primary's confirmation of the newest entry to its being shown here (a replica), else None;
    answering, needed: followers that answer a primary, and how many it needs; cold: text of the newest entry that cold
    storage holds, "" if that is not known; problems: in words, none if all is well; verified_seconds: how long ago a
    primary last compared its database with what cold storage alone gives, None if it has not yet; idle_seconds: how
    long ago somebody last asked a primary or replica for something.
    """

    actor: str
    role: str
    region: str
    pid: int
    state: str
    epoch: int = 0
    bookmark: str = ""
    lag_ms: float | None = None
    wal_bytes: int = 0
    databases: int = 0
    answering: int = 0
    needed: int = 0
    problems: tuple[str, ...] = ()
    cold: str = ""
    verified_seconds: float | None = None
    idle_seconds: float = 0.0


class Overview(msgspec.Struct, frozen=True):
    """What a system is made of.

    actors: names of all that should live; tolerated_nodes: how many nodes may be lost, whichever they are, without
    losing an acknowledged write or the quorum of any database; asleep: databases that have no actors now. What
    followers hold of those is taken from the catalogue.
    """

    actors: tuple[str, ...]
    tolerated_nodes: int
    asleep: int = 0


class CopyCheck(msgspec.Struct, frozen=True):
    """One copy of a database, read whole in one snapshot.

    bookmark: text of the entry that it is at; digest: of all its pages, hexadecimal; problems: what SQLite's
    integrity check finds, none if it is whole.
    """

    actor: str
    region: str
    bookmark: str
    pages: int
    digest: str
    problems: tuple[str, ...]


class Verified(msgspec.Struct, frozen=True):
    """A database against what cold storage gives of it, at `bookmark`, both read whole.

    pages, digest: what cold storage gives; problems: in words, none if they are the same and both are whole.
    """

    bookmark: str
    pages: int
    digest: str
    problems: tuple[str, ...]


class TimeSpan(msgspec.Struct, frozen=True):
    """How far back a database can be read: texts of bookmarks, and their entries' times, microseconds since 1970."""

    oldest: str
    oldest_us: int
    newest: str
    newest_us: int


class Restored(msgspec.Struct, frozen=True):
    """A restore. bookmark: text of the entry that it is; undo: of the entry before it: restoring that undoes it."""

    bookmark: str
    undo: str
