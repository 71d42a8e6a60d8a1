"""What a primary says of itself."""

from __future__ import annotations

import os
from collections.abc import Sequence

from raylite.actors.cold.uploading import UploadState
from raylite.actors.core.leader import Leader
from raylite.actors.core.primary import PrimaryCore
from raylite.actors.service import boottime
from raylite.policies.quorum import majority
from raylite.policies.status import ActorStatus


def reign_status(
    name: str,
    region: str,
    reign: PrimaryCore | None,
    wal_bytes: int,
    uploads: UploadState | None,
    verified_seconds: float | None,
    more: Sequence[str],
    idle_seconds: float,
) -> ActorStatus:
    """How a primary is. reign: None before it has claimed its directory; uploads: None without cold storage; more:
    other problems, "" for none."""
    leader = reign.leader if reign else None
    problems = [*_problems(leader, boottime()), *more, uploads.problem if uploads else ""]
    return ActorStatus(
        name,
        "primary",
        region,
        os.getpid(),
        reign.phase.name.lower().replace("_", " ") if reign else "claiming its directory",
        reign.epoch if reign else 0,
        str(leader.confirmed) if leader else "",
        None,
        wal_bytes,
        answering=leader.voters.answering(boottime()) if leader else 0,
        needed=majority(len(reign.members.current)) if reign else 0,
        problems=tuple(one for one in problems if one),
        cold=uploads.held if uploads else "",
        verified_seconds=verified_seconds,
        idle_seconds=idle_seconds,
    )


def _problems(leader: Leader | None, now: float) -> list[str]:
    if leader is None:
        return ["no quorum of its followers has promised yet"]
    followers = [(one, one.member.follower) for one in leader.peers.values() if one.member is not None]
    silent = [name for one, name in followers if not one.answers(now)]
    lost = [name for one, name in followers if one.refuses]
    return [
        *(f"{one} does not answer" for one in silent),
        *(f"{one} holds this database no more" for one in lost),
        *(f"{one} has no room left on its disk" for one in leader.voters.low),
    ]
