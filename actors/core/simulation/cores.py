"""What is under test: the cores of production, and those made-up parts around them that keep promises too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from raylite.actors.core.follower import FollowerLog
from raylite.actors.core.keys import Keys
from raylite.actors.core.piece import Piece
from raylite.actors.core.piece import describe as describe_one
from raylite.actors.core.primary import PrimaryCore
from raylite.actors.core.replica import ReplicaLog
from raylite.actors.core.simulation.copies import ReplicaFile
from raylite.actors.core.simulation.entries import Describe
from raylite.actors.core.simulation.followers import FollowerProcess
from raylite.actors.core.simulation.primaries import Primary
from raylite.actors.core.simulation.sessions import Session
from raylite.policies.bookmark import Bookmark


def describe(previous: Bookmark, encoded: Sequence[bytes]) -> list[Piece]:
    """The pieces that these bytes are behind `previous`."""
    found: list[Piece] = []
    for one in encoded:
        found.append(_describe(previous, one))
        previous = found[-1].place
    return found


_describe = lru_cache(2000)(describe_one)
"""Every follower and replica of a run describes the same pieces, and production's `describe` has no state."""


class Cores(msgspec.Struct, frozen=True):
    """The parts that a defect may be put into, by a subclass of one of them."""

    follower: type[FollowerLog] = FollowerLog
    primary: type[PrimaryCore] = PrimaryCore
    replica: type[ReplicaLog] = ReplicaLog
    describe: Describe = describe
    follower_process: type[FollowerProcess] = FollowerProcess
    primary_process: type[Primary] = Primary
    replica_file: type[ReplicaFile] = ReplicaFile
    session: type[Session] = Session
    keys: type[Keys] = Keys


PRODUCTION = Cores()
