"""Starts and ends gateways of the HTTP API, as those who run a system do."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence

import msgspec

from raylite.actors import gateways, nodes
from raylite.actors.gateways import Listen
from raylite.actors.ray_calls import asked
from raylite.policies.errors import NotAllowed
from raylite.policies.system import Node, Settings
from raylite.router import api
from raylite.router.gateway import Gateway


async def serve(listen: Listen, *, every_node: bool = False) -> list[str]:
    """The URLs of gateways that listen so, on this node or on every node that lives now; started where there is none.

    listen: its region may be "": then it is each node's own. Raises `NotAllowed` for an address that others reach
    without any token, or where a gateway listens otherwise, and `Unreachable` if one cannot listen.
    """
    if listen.insecure and not _is_loopback(listen.host):
        raise NotAllowed(
            f"Serving at {listen.host} without tokens", "Use 127.0.0.1, or leave out `--insecure`."
        )
    settings = await asyncio.to_thread(api.settings)
    return [
        await gateways.start(Gateway, node.id, _on(node, listen, settings), settings)
        for node in await _nodes(every_node=every_node)
    ]


async def stop(port: int, *, every_node: bool = False) -> list[str]:
    """Ends the gateways at that port, on this node or on all, once they have answered; their names."""
    own = {gateways.gateway_name(node.id, port) for node in await _nodes(every_node=every_node)}
    found = [one for one in await gateways.all_names() if one in own]
    await asyncio.gather(*map(gateways.stop, found))
    return found


async def _nodes(*, every_node: bool) -> Sequence[Node]:
    alive = await asked(nodes.live_nodes)
    own = await asked(nodes.own_node)
    return alive if every_node else [one for one in alive if one.id == own]


def _on(node: Node, listen: Listen, settings: Settings) -> Listen:
    own = settings.virtual[0] if settings.virtual else node.region
    return msgspec.structs.replace(listen, region=listen.region or own)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
