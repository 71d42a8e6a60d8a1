"""Gateways of the HTTP API: an actor on each node that listens, which Ray starts again where it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from raylite.actors.handles import call
from raylite.actors.ray_actors import actor as actor_of
from raylite.actors.ray_actors import on_node
from raylite.actors.ray_calls import asked, kill_named, named
from raylite.policies import limits
from raylite.policies.errors import Unreachable
from raylite.policies.system import Settings

_PREFIX: Final = "gateway"


class Listen(msgspec.Struct, frozen=True):
    """Where a gateway listens, and for whom.

    region: from which it asks databases; certificate, private_key: paths of PEM files on its node, "" for plain HTTP;
    insecure: it asks for no token; rate: requests a second that one caller may make, 0 for any number.
    """

    host: str
    port: int
    region: str
    certificate: str = ""
    private_key: str = ""
    insecure: bool = False
    rate: float = 0.0


def gateway_name(node: str, port: int) -> str:
    """The name of the actor that listens there. node: its id."""
    return f"{_PREFIX}:{node[:12]}:{port}"


async def start(kind: type, node: str, listen: Listen, settings: Settings) -> str:
    """The URL of the gateway on that node, started if there is none; kind: the actor's class.

    Raises `NotAllowed` if it listens otherwise; `Unreachable` if it cannot listen, and then it does not live on.
    """
    name = gateway_name(node, listen.port)
    actor = actor_of(kind, name, on_node(node))
    await asked(actor.remote, name, listen, settings)
    try:
        url: str = await call(name, "up", listen, seconds=limits.START_SECONDS)
    except Unreachable:
        await asked(kill_named, name)
        raise
    return url


async def stop(name: str) -> None:
    """Ends a gateway once it has answered what it had begun."""
    await call(name, "drain", seconds=limits.DRAIN_SECONDS + limits.CALL_SECONDS)
    await asked(kill_named, name)


async def all_names() -> Sequence[str]:
    """The names of all gateways."""
    return await asked(named, f"{_PREFIX}:")
