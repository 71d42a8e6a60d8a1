"""Follower actors, as those who run a system see to them."""

from __future__ import annotations

from collections.abc import Callable

from raylite.actors import handles
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import InvalidName
from raylite.policies.system import REGISTRY, REGISTRY_DATABASE, follower_number, primary_name
from raylite.router.background import background

Done = Callable[[int, int], None]
"""Called with how many databases are seen to, and of how many."""


def replace_follower(follower: str, other: str = "", done: Done | None = None) -> dict[str, str]:
    """Puts another follower in this one's place in every database of the system, one after the other.

    Returns which one took the place, by the name of the database; those where it had none are missing. other: who is
    to come, "" for whom the placement policy chooses. Writes go on meanwhile; a newcomer that misses much takes long.
    Databases that are asleep and have it as a follower are woken.
    Raises `InvalidName` for what is no follower's name, `NotAllowed` if `other` is a member already, `Unreachable` if
    nobody can take the place or a primary does not answer; what was done by then stays, and it can be called again.
    """
    for name in (follower, other or follower):
        _check(name)
    databases = background.run(_databases(follower))
    replaced: dict[str, str] = {}
    for index, (name, primary) in enumerate(databases, 1):
        newcomer = background.run(_replace(name, primary, follower, other), seconds=None)
        if newcomer:
            replaced[name] = newcomer
        if done is not None:
            done(index, len(databases))
    return replaced


async def _databases(follower: str) -> list[tuple[str, str]]:
    """The names and primaries of all databases that may have it as a follower, the registry's own first."""
    entries: list[DatabaseEntry] = await handles.call(REGISTRY, "databases", seconds=limits.START_SECONDS)
    asked = [one for one in entries if not one.asleep or _has(one, follower)]
    names = [one.name for one in asked if one.members is not None]  # the others are only begun
    return [(REGISTRY_DATABASE, REGISTRY), *((one, primary_name(one)) for one in names)]


def _has(entry: DatabaseEntry, follower: str) -> bool:
    return entry.members is not None and any(one.follower == follower for one in entry.members.everyone)


async def _replace(name: str, primary: str, follower: str, other: str) -> str:
    if primary != REGISTRY:
        await handles.call(REGISTRY, "wake", name)
    seconds = limits.REPLACING_SECONDS + limits.CALL_SECONDS
    newcomer: str = await handles.call(primary, "replace_follower", follower, other, seconds=seconds)
    return newcomer


def _check(name: str) -> None:
    try:
        known = name.startswith("follower:") and follower_number(name) >= 0
    except ValueError:
        known = False
    if not known:
        raise InvalidName(name, "a follower is called follower:0, follower:1 and so on, see `raylite status`")
