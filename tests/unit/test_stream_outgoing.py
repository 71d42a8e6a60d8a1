"""What leaves a connection, when, and in how many writes; and connections between distant regions."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest
from tests.unit.stream_world import KEY, LOOPS, Run, after, append, run_on, until

from raylite.actors.core.messages import Inspect
from raylite.actors.stream import Connection, Identity, Payload, Server, connect
from raylite.actors.stream_codec import REQUEST, Frames
from raylite.actors.stream_outgoing import Outgoing
from raylite.policies import limits
from raylite.policies.errors import LimitExceeded, Unreachable


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return partial(run_on, request.param)


class Written(asyncio.Transport):
    """A transport that keeps each write with its time."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[tuple[float, bytes]] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append((time.monotonic(), bytes(data)))

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == limits.WRITE_BUFFER_BYTES

    def numbers(self) -> list[int]:
        frames = Frames(limits.FRAME_BYTES)
        frames.feed(b"".join(data for _, data in self.writes))
        found: list[int] = []
        while (frame := frames.next()) is not None:
            found.append(frame.number)
        return found


async def turn() -> None:
    """Everything scheduled so far has run."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_all_that_is_queued_in_one_turn_is_one_write(run: Run) -> None:
    async def body() -> None:
        transport = Written()
        outgoing = Outgoing(asyncio.get_running_loop(), transport)
        for number in range(1, 51):
            outgoing.queue(REQUEST, number, append(number), mine=True)
        assert transport.writes == []
        assert outgoing.sent == 0
        assert outgoing.bytes > 50 * 13
        await turn()
        assert len(transport.writes) == 1
        assert transport.numbers() == list(range(1, 51))
        assert outgoing.sent == 50
        assert outgoing.bytes == 0
        outgoing.queue(REQUEST, 51, append(51), mine=True)
        await turn()
        assert len(transport.writes) == 2

    run(body)


def test_much_in_one_turn_does_not_gather(run: Run) -> None:
    async def body() -> None:
        transport = Written()
        outgoing = Outgoing(asyncio.get_running_loop(), transport)
        for number in range(1, 9):
            outgoing.queue(REQUEST, number, append(number, 1 << 19), mine=True)
            assert outgoing.bytes <= limits.WRITE_BUFFER_BYTES
        await turn()
        assert transport.numbers() == list(range(1, 9))

    run(body)


def test_a_message_that_is_too_large_leaves_no_byte_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FRAME_BYTES", 5000)

    async def body() -> None:
        transport = Written()
        outgoing = Outgoing(asyncio.get_running_loop(), transport)
        outgoing.queue(REQUEST, 1, append(1), mine=True)
        with pytest.raises(LimitExceeded):
            outgoing.queue(REQUEST, 2, append(2, 5000), mine=True)
        outgoing.queue(REQUEST, 3, append(3), mine=True)
        await turn()
        assert transport.numbers() == [1, 3]

    run_on("asyncio", body)


def test_a_delay_keeps_order_and_holds_each_write_as_long(run: Run) -> None:
    async def body() -> None:
        transport, loop = Written(), asyncio.get_running_loop()
        outgoing = Outgoing(loop, transport, 0.05)
        queued: list[float] = []
        for number in range(1, 31):
            queued.append(time.monotonic())
            outgoing.queue(REQUEST, number, append(number), mine=True)
            await after(0.002)
        assert outgoing.bytes > 0
        assert outgoing.sent < 30
        await until(lambda: outgoing.sent == 30)
        assert transport.numbers() == list(range(1, 31))
        assert outgoing.bytes == 0
        first, last = transport.writes[0][0], transport.writes[-1][0]
        assert first - queued[0] >= 0.047
        assert last - queued[-1] >= 0.047
        assert last - queued[0] < 30 * 0.05, "writes are delayed side by side, not one after another"

    run(body)


def test_what_is_delayed_is_lost_when_it_stops() -> None:
    async def body() -> None:
        transport = Written()
        outgoing = Outgoing(asyncio.get_running_loop(), transport, 0.01)
        outgoing.queue(REQUEST, 1, append(1), mine=True)
        await turn()
        outgoing.queue(REQUEST, 2, append(2), mine=True)
        outgoing.stop()
        await after(0.03)
        assert transport.writes == []
        assert (outgoing.sent, outgoing.bytes) == (0, 0)

    run_on("asyncio", body)


def echo(_connection: Connection, message: Payload) -> Payload:
    return message


def far(one: str, other: str) -> float:
    return 0.0 if one == other else 0.04


def test_distant_regions_are_a_round_trip_apart_and_near_ones_are_not(run: Run) -> None:
    async def body() -> None:
        here = Identity("primary:shop", "weur", KEY)
        for region, least in (("enam", 0.077), ("weur", 0.0)):
            server = await Server.start(Identity("follower:1", region, KEY), echo, "127.0.0.1", distance=far)
            connection = await connect(here, server.endpoint, echo, distance=far)
            fastest = min([await connection.ping() for _ in range(5)])
            assert least <= fastest < least + 0.07
            begin = time.monotonic()
            replies: list[object] = []
            for number in range(100):
                connection.post(append(number), replies.append)
            assert await connection.call(Inspect("db")) == Inspect("db")
            assert replies == [append(number) for number in range(100)]
            assert time.monotonic() - begin < 100 * 0.04
            await connection.stop()
            await server.stop()

    run(body)


def test_a_request_that_is_still_on_its_delayed_way_has_not_left(run: Run) -> None:
    async def body() -> None:
        server = await Server.start(Identity("follower:1", "enam", KEY), echo, "127.0.0.1")
        connection = await connect(Identity("p", "weur", KEY), server.endpoint, echo, distance=far)
        call = asyncio.ensure_future(connection.call(Inspect("db")))
        await turn()
        connection.close()
        with pytest.raises(Unreachable):
            await call
        await connection.stop()
        await server.stop()

    run(body)
