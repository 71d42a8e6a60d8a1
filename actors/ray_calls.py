"""Ray's own calls of actors, found by their names, with deadlines and raylite's errors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ray as _ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.metrics import Gauge

from raylite.actors.stream import Payload, from_failure
from raylite.actors.stream_codec import decode_payload, encode_payload
from raylite.policies import limits
from raylite.policies.errors import Error, NoReply, Unreachable
from raylite.policies.query import Answer, Failure, Query
from raylite.policies.system import NAMESPACE
from raylite.policies.transfer import TransferReply, TransferRequest

ray: Any = _ray  # Ray leaves parts of its API untyped

T = TypeVar("T")


def find(actor: str) -> Any:
    """The actor of this name, None if there is none."""
    try:
        return ray.get_actor(actor, namespace=NAMESPACE)
    except ValueError:
        return None


def named(prefix: str) -> list[str]:
    """The names of all actors that begin so, in order."""
    found: list[dict[str, str]] = ray.util.list_named_actors(all_namespaces=True)
    names = [one["name"] for one in found if one["namespace"] == NAMESPACE]
    return sorted(name for name in names if name.startswith(prefix))


def kill(handle: Any) -> None:
    """Ends this very process of an actor for good; its name is free then."""
    ray.kill(handle, no_restart=True)


def kill_named(actor: str) -> None:
    """As `kill`, whatever process has the name now, if one has."""
    handle = find(actor)
    if handle is not None:
        kill(handle)


def wait_for(calls: Sequence[Any], what: str) -> list[Any]:
    """The results of these calls; raises `Unreachable` if they take longer than an actor's start may."""
    try:
        return list(ray.get(list(calls), timeout=limits.START_SECONDS))
    except GetTimeoutError as error:
        raise Unreachable(what, f"no answer within {limits.START_SECONDS:g} s of their start") from error
    except RayError as error:
        raise cause_of(error, what) from error


def wait_until_up(calls: Sequence[Any]) -> int:
    """How many of these calls are answered before an actor's start takes too long; raises nothing for the others."""
    done, _ = ray.wait(list(calls), num_returns=len(calls), timeout=limits.START_SECONDS)
    answered = 0
    for one in done:
        with contextlib.suppress(RayError):
            ray.get(one)
            answered += 1
    return answered


async def ask(actor: str, query: Query, seconds: float) -> Answer | Failure:
    """A query as Ray's own call; raises `Unreachable` (not sent), or `NoReply` (may have been received)."""
    answer = await _carried(actor, query, seconds)
    assert isinstance(answer, Answer | Failure), "a query is answered by nothing else"
    return answer


async def request(actor: str, request: TransferRequest, seconds: float) -> TransferReply | None:
    """As `ask`, for one step of an export or import; raises the actor's error."""
    reply = await _carried(actor, request, seconds)
    if isinstance(reply, Failure):
        raise from_failure(reply)
    assert reply is None or isinstance(reply, TransferReply), "a transfer is answered by nothing else"
    return reply


async def _carried(actor: str, payload: Payload, seconds: float) -> Payload | None:
    try:
        handle = await asyncio.to_thread(ray.get_actor, actor, namespace=NAMESPACE)
    except ValueError as error:
        raise Unreachable(actor, "there is no such actor") from error
    try:
        async with asyncio.timeout(seconds):
            answer: bytes = await handle.ask.remote(encode_payload(payload))
    except (RayError, TimeoutError) as error:
        raise NoReply(actor, type(error).__name__) from error
    return decode_payload(answer) if answer else None


async def asked(work: Callable[..., T], *arguments: object) -> T:
    """What `work` asks of Ray, off the event loop; raises an `Error` if Ray's head does not answer."""
    try:
        async with asyncio.timeout(limits.START_SECONDS):
            return await asyncio.to_thread(work, *arguments)
    except (RayError, RuntimeError, TimeoutError) as error:
        raise Unreachable("Ray", f"{type(error).__name__} {error}".strip()) from error


def cause_of(error: RayError, actor: str) -> Error:
    """What an actor's method raised, `Unreachable` if it is none of raylite's errors."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Error) else Unreachable(actor, str(error).splitlines()[-1])


_gauges: dict[str, Any] = {}


def set_gauge(name: str, value: float, tags: dict[str, str]) -> None:
    """What a metric is now, which Ray exports as `ray_NAME`; always with the same tags."""
    if name not in _gauges:
        _gauges[name] = Gauge(name, tag_keys=tuple(tags))
    _gauges[name].set(value, tags)
