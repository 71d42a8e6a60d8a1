"""Peers that misbehave: strangers, silence, garbage, floods, replays, and peers that do not read."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from tests.unit.stream_world import DIALLER, LARGE, LISTENER, LOOPS, Run, run_on, until

from raylite.actors.core.messages import Inspect, Joined
from raylite.actors.stream import Connection, Endpoint, Payload, Server, connect
from raylite.actors.stream_codec import (
    REPLY,
    REQUEST,
    Frame,
    Frames,
    append_frame,
    append_payload,
    decode_payload,
)
from raylite.actors.stream_hello import Dialling, Listening
from raylite.policies import limits
from raylite.policies.errors import NoReply, Overloaded


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return partial(run_on, request.param)


def no_handler(_connection: Connection, _message: Payload) -> None:
    raise AssertionError("nothing may be asked here")


class Raw:
    """A peer made by hand: sends and reads bytes as a test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self.frames = reader, writer, Frames(limits.FRAME_BYTES)

    @classmethod
    async def dial(cls, server: Server) -> Raw:
        return cls(*await asyncio.open_connection(server.endpoint.host, server.endpoint.port))

    @classmethod
    async def member(cls, server: Server) -> Raw:
        """One that has completed the hello."""
        raw = await cls.dial(server)
        dialling = Dialling(DIALLER, server.endpoint)
        raw.writer.write(dialling.hello())
        raw.writer.write(dialling.take(await raw.frame())[1])
        return raw

    async def frame(self) -> Frame:
        while (frame := self.frames.next()) is None:
            data = await self.reader.read(1 << 16)
            assert data, "the connection was ended"
            self.frames.feed(data)
        return Frame(frame.kind, frame.number, memoryview(bytes(frame.payload)))

    def send(self, kind: int, number: int, payload: Payload | bytes) -> None:
        buffer = bytearray()
        if isinstance(payload, bytes):
            append_frame(buffer, kind, number, payload)
        else:
            append_payload(buffer, kind, number, payload)
        self.writer.write(bytes(buffer))

    async def was_dropped(self) -> bool:
        try:
            while await self.reader.read(1 << 16):
                pass
        except ConnectionError:
            pass
        return True

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return


def test_strangers_are_dropped_at_once_whatever_they_send(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HELLO_SECONDS", 3600.0)
    hello = Dialling(DIALLER, Endpoint("127.0.0.1", 1, "follower:1", "enam")).hello()
    greetings = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes(64),
        b"\xff" * 64,
        (limits.HELLO_BYTES + 1).to_bytes(4, "big"),
        b"\x00\x00\x00\x09\x01" + bytes(8),
        hello[:13] + b"\xc1" * (len(hello) - 13),
        hello + hello,
    ]

    async def body() -> None:
        server = await Server.start(LISTENER, no_handler, "127.0.0.1")
        for greeting in greetings:
            raw = await Raw.dial(server)
            raw.writer.write(greeting)
            assert await raw.was_dropped()
            await raw.close()
        await until(lambda: server.greeting == 0)
        assert server.refused == len(greetings)
        assert not server.connections
        await server.stop()

    run(body)


def test_a_silent_stranger_is_dropped_at_the_deadline(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HELLO_SECONDS", 0.02)

    async def body() -> None:
        server = await Server.start(LISTENER, no_handler, "127.0.0.1")
        silent, dripping = await Raw.dial(server), await Raw.dial(server)
        dripping.writer.write(b"\x00\x00")
        assert await silent.was_dropped()
        assert await dripping.was_dropped()
        await silent.close()
        await dripping.close()
        await server.stop()

    run(body)


def test_a_member_outlives_the_hellos_deadline(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HELLO_SECONDS", 0.02)

    async def body() -> None:
        server = await Server.start(LISTENER, lambda _, message: message, "127.0.0.1")
        member, stranger = await connect(DIALLER, server.endpoint, no_handler), await Raw.dial(server)
        assert await stranger.was_dropped()
        assert await member.call(Inspect("db")) == Inspect("db")
        await stranger.close()
        await member.stop()
        await server.stop()

    run(body)


def test_too_many_strangers_are_turned_away(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WAITING_HELLOS", 3)

    async def body() -> None:
        server = await Server.start(LISTENER, no_handler, "127.0.0.1")
        first = [await Raw.dial(server) for _ in range(3)]
        await until(lambda: server.greeting == 3)
        fourth = await Raw.dial(server)
        assert await fourth.was_dropped()
        assert server.greeting == 3
        for raw in (*first, fourth):
            await raw.close()
        await until(lambda: server.greeting == 0)
        await (await connect(DIALLER, server.endpoint, no_handler)).stop()
        await server.stop()

    run(body)


def test_requests_before_the_proof_are_not_heard(run: Run) -> None:
    async def body() -> None:
        server = await Server.start(LISTENER, no_handler, "127.0.0.1")
        raw = await Raw.dial(server)
        raw.writer.write(Dialling(DIALLER, server.endpoint).hello())
        raw.send(REQUEST, 1, Inspect("db"))
        assert await raw.was_dropped()
        assert not server.connections
        await raw.close()
        await server.stop()

    run(body)


def test_a_recorded_hello_opens_nothing(run: Run) -> None:
    async def body() -> None:
        server = await Server.start(LISTENER, no_handler, "127.0.0.1")
        first, dialling = await Raw.dial(server), Dialling(DIALLER, server.endpoint)
        first.writer.write(dialling.hello())
        proof = dialling.take(await first.frame())[1]
        first.writer.write(proof)
        await until(lambda: len(server.connections) == 1)
        second = await Raw.dial(server)
        second.writer.write(dialling.hello() + proof)
        second.send(REQUEST, 1, Inspect("db"))
        assert await second.was_dropped()
        assert (len(server.connections), server.refused) == (1, 1)
        await first.close()
        await second.close()
        await server.stop()

    run(body)


def test_requests_sent_along_with_the_proof_are_heard(run: Run) -> None:
    async def body() -> None:
        server = await Server.start(LISTENER, lambda _, message: message, "127.0.0.1")
        raw, dialling = await Raw.dial(server), Dialling(DIALLER, server.endpoint)
        raw.writer.write(dialling.hello())
        buffer = bytearray(dialling.take(await raw.frame())[1])
        append_payload(buffer, REQUEST, 9, Inspect("db"))
        raw.writer.write(bytes(buffer))
        frame = await raw.frame()
        assert (frame.kind, frame.number, decode_payload(frame.payload)) == (REPLY, 9, Inspect("db"))
        await raw.close()
        await server.stop()

    run(body)


@pytest.mark.parametrize(
    ("kind", "payload", "reason"),
    [
        (REQUEST, b"\xc1", "payload"),
        (REQUEST, b"", "payload"),
        (REPLY, Inspect("db"), "does not wait"),
        (5, b"", "does not wait"),
        (3, b"", "does not wait"),
        (16, b"", "kind 16"),
        (0, b"", "kind 0"),
    ],
)
def test_a_member_that_breaks_the_protocol_is_dropped_and_nobody_crashes(
    run: Run, kind: int, payload: Payload | bytes, reason: str
) -> None:
    async def body() -> None:
        crashes: list[BaseException] = []
        server = await Server.start(LISTENER, no_handler, "127.0.0.1", on_crash=crashes.append)
        raw = await Raw.member(server)
        await until(lambda: len(server.connections) == 1)
        (connection,) = server.connections
        raw.send(kind, 1, payload)
        assert await raw.was_dropped()
        assert reason in await connection.closed
        assert crashes == []
        await raw.close()
        await server.stop()

    run(body)


def test_a_member_that_announces_too_much_is_dropped_before_it_comes(run: Run) -> None:
    async def body() -> None:
        server = await Server.start(LISTENER, no_handler, "127.0.0.1")
        raw = await Raw.member(server)
        raw.writer.write((limits.FRAME_BYTES + 1).to_bytes(4, "big"))
        assert await raw.was_dropped()
        await raw.close()
        await server.stop()

    run(body)


def test_a_flood_of_requests_is_read_only_as_far_as_the_bound(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONNECTION_REQUESTS", 16)

    async def body() -> None:
        waiting: list[asyncio.Future[Payload | None]] = []
        most = 0

        def handler(connection: Connection, _message: Payload) -> asyncio.Future[Payload | None]:
            nonlocal most
            most = max(most, connection.under_way)
            waiting.append(asyncio.get_running_loop().create_future())
            return waiting[-1]

        server = await Server.start(LISTENER, handler, "127.0.0.1")
        raw = await Raw.member(server)
        for number in range(1000):
            raw.send(REQUEST, number, Inspect("db"))
        await until(lambda: len(waiting) == 17)
        replies: list[int] = []
        while len(replies) < 1000:
            assert len(waiting) <= len(replies) + 17
            waiting[len(replies)].set_result(Joined("db", "i"))
            replies.append((await raw.frame()).number)
        assert replies == list(range(1000))
        assert most == 17
        await raw.close()
        await server.stop()

    run(body)


def test_replies_are_held_back_from_a_peer_that_does_not_read(run: Run) -> None:
    async def body() -> None:
        server = await Server.start(LISTENER, lambda _, message: LARGE, "127.0.0.1")
        raw = await Raw.member(server)
        await until(lambda: len(server.connections) == 1)
        (connection,) = server.connections
        for number in range(64):
            raw.send(REQUEST, number, Inspect("db"))
        other = await connect(DIALLER, server.endpoint, no_handler)
        await until(lambda: connection.under_way > 0)
        assert await other.call(Inspect("db")) == LARGE
        assert connection.buffered_bytes <= limits.WRITE_BUFFER_BYTES + (3 << 20)
        for number in range(64):
            assert (await raw.frame()).number == number
        assert connection.under_way == 0
        await other.stop()
        await raw.close()
        await server.stop()

    run(body)


def test_a_peer_that_does_not_read_holds_up_only_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OUTGOING_BYTES", 20 << 20)

    async def body() -> None:
        wake = asyncio.Event()

        async def sleeper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            raw, listening = Raw(reader, writer), Listening(LISTENER)
            welcome = listening.take(await raw.frame())
            assert isinstance(welcome, bytes)
            writer.write(welcome)
            await wake.wait()
            await raw.was_dropped()
            await raw.close()

        asleep = await asyncio.start_server(sleeper, "127.0.0.1", 0)
        awake = await Server.start(LISTENER, lambda _, message: Joined("db", "i"), "127.0.0.1")
        endpoint = awake.endpoint
        port: int = asleep.sockets[0].getsockname()[1]
        stuck = await connect(DIALLER, Endpoint(endpoint.host, port, endpoint.actor, "enam"), no_handler)
        lively = await connect(DIALLER, endpoint, no_handler)
        results: list[object] = []
        while not results:
            stuck.post(LARGE, results.append)
            assert await lively.call(LARGE) == Joined("db", "i")
        assert isinstance(results[0], Overloaded)
        assert stuck.buffered_bytes <= limits.OUTGOING_BYTES + (2 << 20)
        drained = asyncio.ensure_future(stuck.drain())
        assert await lively.ping() < 5
        await lively.drain()
        assert not drained.done()
        wake.set()
        await drained
        assert stuck.buffered_bytes <= limits.WRITE_BUFFER_BYTES
        waiting = stuck.waiting
        assert waiting >= 20
        stuck.close()
        await until(lambda: len(results) == 1 + waiting)
        assert {type(result) for result in results[1:]} == {NoReply}
        await lively.stop()
        await awake.stop()
        asleep.close()
        await asleep.wait_closed()
        await until(lambda: len(asyncio.all_tasks()) == 1)

    run(body)


def test_stopping_does_not_wait_for_a_peer_that_does_not_read(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CLOSE_SECONDS", 0.02)

    async def body() -> None:
        server = await Server.start(LISTENER, lambda _, message: LARGE, "127.0.0.1")
        raw = await Raw.member(server)
        for number in range(32):
            raw.send(REQUEST, number, Inspect("db"))
        await until(lambda: any(connection.under_way for connection in server.connections))
        await server.stop()
        assert await raw.was_dropped()
        await raw.close()

    run(body)
