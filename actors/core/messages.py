"""What leaders, followers and replicas say to each other.

Every message is a frozen, tagged struct; the stream encodes it as MessagePack and decodes by these types, so a
peer can send nothing else. `number` is echoed in the answer: by it a leader knows when it sent what was answered.
"""

from __future__ import annotations

import msgspec

from raylite.actors.core.base import Base
from raylite.policies.bookmark import Bookmark
from raylite.policies.quorum import Members


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of all relay messages. database: its id."""

    database: str


# To followers


class Join(Message, frozen=True):
    """Make an incarnation and an empty log for this database; the same id gives the same again."""


class Found(Message, frozen=True):
    """Make `members` the base of this incarnation's empty log, once.

    The log of a fork, or of a database that was rebuilt, begins behind `base`, whose epoch is thereby promised.
    """

    incarnation: str
    members: Members
    base: Base | None = None


class Promise(Message, frozen=True):
    """Promise `epoch`: accept no lower one any more. directory: id of the directory whose lock the asker holds."""

    incarnation: str
    number: int
    epoch: int
    directory: str


class Append(Message, frozen=True):
    """Put `pieces` behind `previous`; with no pieces a heartbeat.

    place: where the last of them ends (`previous` if there are none); the receiver computes it too and compares.
    confirmed: the leader's newest confirmed entry; confirmed_us: the leader's wall clock at that confirmation.
    To a replica, `incarnation` is empty, and `epochs` is sent with the first message of a connection (see `Promised`).
    """

    incarnation: str
    number: int
    epoch: int
    directory: str
    previous: Bookmark
    pieces: list[bytes]
    place: Bookmark
    confirmed: Bookmark
    confirmed_us: int = 0
    epochs: tuple[tuple[int, int], ...] = ()


class Read(Message, frozen=True):
    """Ask for pieces that follow `after`, up to about `limit` bytes (at least one piece if there is one)."""

    incarnation: str
    after: Bookmark
    limit: int


class Rebase(Message, frozen=True):
    """Let the log begin behind `base`, which is confirmed and which cold storage holds; epoch: as in `Append`.

    A follower that holds that entry, or knows one at or above it to be confirmed, changes nothing.
    """

    incarnation: str
    number: int
    epoch: int
    base: Base


class Trim(Message, frozen=True):
    """Cold storage holds everything up to `held`, a confirmed entry: the log need not, as far as it is confirmed."""

    incarnation: str
    held: Bookmark


class Release(Message, frozen=True):
    """The leader of `epoch` gives its lease up and will answer nothing any more."""

    incarnation: str
    epoch: int


class Inspect(Message, frozen=True):
    """Ask what a follower holds of this database."""


class Drop(Message, frozen=True):
    """The catalogue says, for good, that this database is deleted: hold nothing of it any more, and never again."""


# To a primary


class Follow(Message, frozen=True):
    """A replica asks for the stream. confirmed: its newest confirmed entry; epoch: the highest it has seen."""

    replica: str
    region: str
    confirmed: Bookmark
    epoch: int


# Answers


class Joined(Message, frozen=True):
    """`incarnation` is this follower's in that database."""

    incarnation: str


class Founded(Message, frozen=True):
    """The log's base is written and synced."""


class Promised(Message, frozen=True):
    """The epoch is promised, durably. tail: the last whole entry, with that entry's own epoch.

    epochs: (epoch, sequence of its first entry), ascending, for all of the log; tail_us: the time in that entry.
    """

    number: int
    epoch: int
    tail: Bookmark
    confirmed: Bookmark
    base: Bookmark
    members: Members
    epochs: tuple[tuple[int, int], ...] = ()
    tail_us: int = 0


class Appended(Message, frozen=True):
    """The log agrees with that append up to `place`, and (a follower) all of that is synced.

    leased: the append renewed the lease; it does not while a higher promise waits for the lease to end.
    room: the disk has room for a good while; without it new writes should not be begun, but what is on its way
    may still be stored.
    """

    number: int
    epoch: int
    place: Bookmark
    leased: bool = True
    room: bool = True


class NoRoom(Message, frozen=True):
    """The disk is full: nothing of that append or promise was stored, and none counts. Both numbers are echoed."""

    number: int
    epoch: int


class Mismatch(Message, frozen=True):
    """`previous` is not held, nothing was changed. tail: the last whole entry; confirmed: its confirmed mark."""

    number: int
    epoch: int
    tail: Bookmark
    confirmed: Bookmark


class Refused(Message, frozen=True):
    """The epoch is too low. epoch: the one that was promised."""

    number: int
    epoch: int


class Unknown(Message, frozen=True):
    """This follower does not know that database and incarnation.

    gave_up: it did, and found damage; dropped: it did, and the database is deleted.
    """

    number: int
    gave_up: bool = False
    dropped: bool = False


class Pieces(Message, frozen=True):
    """Pieces that follow `after`; what lies above `confirmed` is unconfirmed until the leader says so."""

    after: Bookmark
    pieces: list[bytes]
    tail: Bookmark
    confirmed: Bookmark


class Missing(Message, frozen=True):
    """`after` is not in this log: it was cut away, trimmed, or is of another history. base, tail: what the log spans.

    start: what the log up to `base` says, if that is not the database's beginning.
    """

    after: Bookmark
    base: Bookmark
    tail: Bookmark
    start: Base | None = None


class Rebased(Message, frozen=True):
    """The log has `place` in it, or begins with it, durably. Epoch and number are those of the request."""

    number: int
    epoch: int
    place: Bookmark


class Trimmed(Message, frozen=True):
    """The log begins behind `base` now."""

    base: Bookmark


class Holding(Message, frozen=True):
    """What a follower holds of a database, and whether a lease that it gave runs."""

    incarnation: str
    promised: int
    tail: Bookmark
    confirmed: Bookmark
    members: Members
    lease_seconds: float


class Diverged(Message, frozen=True):
    """To a replica: what it holds is not in the log. It rebuilds."""

    epoch: int


class Released(Message, frozen=True):
    """The lease is given up."""


class Dropped(Message, frozen=True):
    """Nothing of that database is held here, durably, nor are there copies of it on this node."""


ToFollower = Join | Found | Promise | Append | Read | Rebase | Trim | Release | Inspect | Drop
FromFollower = (
    Joined
    | Founded
    | Promised
    | Appended
    | NoRoom
    | Mismatch
    | Refused
    | Unknown
    | Pieces
    | Missing
    | Rebased
    | Trimmed
    | Holding
    | Released
    | Dropped
)
RelayMessage = ToFollower | FromFollower | Follow | Diverged
