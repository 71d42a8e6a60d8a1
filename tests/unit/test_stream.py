"""Connections on loopback, on asyncio's own loop and on uvloop: asking, answering, order, errors, ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from functools import partial

import pytest
from tests.unit.stream_world import DIALLER, LISTENER, LOOPS, PLACE, Run, append, run_on, until

from raylite.actors.core.messages import Append, Appended, Inspect, Joined
from raylite.actors.stream import (
    Connection,
    Distance,
    Endpoint,
    Handler,
    Identity,
    OnCrash,
    Payload,
    Server,
    connect,
    derive_key,
    report_crash,
    to_failure,
)
from raylite.policies import limits
from raylite.policies.errors import (
    DatabaseNotFound,
    Error,
    LimitExceeded,
    NoReply,
    NotPrimary,
    OutcomeUnknown,
    Overloaded,
    ParameterError,
    Unauthorized,
    Unreachable,
)
from raylite.policies.query import Failure, Mode, Query, Statement


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return partial(run_on, request.param)


def number(message: Payload) -> int:
    assert isinstance(message, Append)
    return message.number


def agree(_connection: Connection, message: Payload) -> Payload:
    return Appended("db", number(message), 1, PLACE)


def refuse(_connection: Connection, message: Payload) -> Payload:
    raise NotPrimary("shop", 3)


@asynccontextmanager
async def pair(
    handler: Handler,
    asked: Handler = refuse,
    *,
    on_crash: OnCrash = report_crash,
    distance: Distance | None = None,
) -> AsyncGenerator[tuple[Connection, Server]]:
    server = await Server.start(LISTENER, handler, "127.0.0.1", on_crash=on_crash, distance=distance)
    connection = await connect(DIALLER, server.endpoint, asked, on_crash=on_crash, distance=distance)
    try:
        yield connection, server
    finally:
        await connection.stop()
        await server.stop()


async def accepted(server: Server) -> Connection:
    """The server's side of its only connection."""
    await until(lambda: len(server.connections) == 1)
    (found,) = server.connections
    return found


def test_a_call_returns_the_handlers_reply(run: Run) -> None:
    async def body() -> None:
        async with pair(agree) as (connection, server):
            assert await connection.call(append(7)) == Appended("db", 7, 1, PLACE)
            assert connection.peer.actor == server.endpoint.actor == "follower:1"
            assert (await accepted(server)).peer.process == DIALLER.process

    run(body)


def test_either_side_may_ask_on_one_connection(run: Run) -> None:
    async def body() -> None:
        async with pair(agree, lambda _, message: Joined("db", f"{number(message)}")) as (connection, server):
            other = await accepted(server)
            replies = await asyncio.gather(*(side.call(append(1)) for side in (connection, other)))
            assert replies == [Appended("db", 1, 1, PLACE), Joined("db", "1")]

    run(body)


def test_requests_arrive_in_order_and_replies_leave_when_they_are_ready(run: Run) -> None:
    async def body() -> None:
        taken: list[tuple[int, asyncio.Future[Payload | None]]] = []
        replied: list[object] = []

        def handler(_connection: Connection, message: Payload) -> asyncio.Future[Payload | None]:
            future: asyncio.Future[Payload | None] = asyncio.get_running_loop().create_future()
            taken.append((number(message), future))
            return future

        async with pair(handler) as (connection, _):
            for index in range(500):
                connection.post(append(index), replied.append)
            await until(lambda: len(taken) == 500)
            assert [index for index, _ in taken] == list(range(500))
            for index, future in reversed(taken):
                future.set_result(Joined("db", str(index)))
            await until(lambda: len(replied) == 500)
            assert replied == [Joined("db", str(index)) for index in reversed(range(500))]

    run(body)


def test_coroutine_handlers_run_side_by_side(run: Run) -> None:
    async def body() -> None:
        both = asyncio.Barrier(2)

        async def handler(_connection: Connection, message: Payload) -> Payload:
            await both.wait()
            return message

        async with pair(handler) as (connection, _):
            messages = [append(1), append(2)]
            assert await asyncio.gather(*map(connection.call, messages)) == messages

    run(body)


def test_a_large_message_arrives_whole_between_small_ones(run: Run) -> None:
    async def body() -> None:
        sizes: list[int] = []

        def handler(_connection: Connection, message: Payload) -> Payload:
            assert isinstance(message, Append)
            sizes.append(sum(map(len, message.pieces)))
            return message

        async with pair(handler) as (connection, _):
            messages = [append(1), append(2, 5 << 20), append(3)]
            assert await asyncio.gather(*map(connection.call, messages)) == messages
            assert sizes == [0, 5 << 20, 0]

    run(body)


def test_errors_of_the_handler_are_raised_where_it_was_asked(run: Run) -> None:
    async def later(_connection: Connection, _message: Payload) -> Payload:
        raise DatabaseNotFound("shop")

    async def body() -> None:
        async with pair(refuse) as (connection, _):
            with pytest.raises(NotPrimary) as refused:
                await connection.call(append(1))
            assert (refused.value.database, refused.value.epoch) == ("shop", 3)
        async with pair(later) as (connection, _):
            with pytest.raises(DatabaseNotFound):
                await connection.call(append(1))

    run(body)


def test_a_failures_bookmark_is_there_for_who_asks_for_it(run: Run) -> None:
    async def body() -> None:
        failure = to_failure(DatabaseNotFound("shop"), "mark")
        async with pair(lambda _, message: failure) as (connection, _):
            assert await connection.ask(append(1)) == failure
            posted: list[object] = []
            connection.post(append(1), posted.append)
            await until(lambda: len(posted) == 1)
            assert isinstance(posted[0], DatabaseNotFound)
            assert not isinstance(posted[0], Failure)

    run(body)


def test_a_handler_with_nothing_to_say_is_heard_as_none(run: Run) -> None:
    async def body() -> None:
        async with pair(lambda _, message: None) as (connection, _):
            assert await connection.call(append(1)) is None

    run(body)


def test_a_cancelled_request_is_reported_as_no_reply(run: Run) -> None:
    async def body() -> None:
        futures: list[asyncio.Future[Payload | None]] = []

        def handler(_connection: Connection, _message: Payload) -> asyncio.Future[Payload | None]:
            futures.append(asyncio.get_running_loop().create_future())
            futures[-1].cancel()
            return futures[-1]

        async with pair(handler) as (connection, _):
            with pytest.raises(NoReply, match="cancelled"):
                await connection.call(append(1))

    run(body)


@pytest.mark.parametrize("late", [False, True])
def test_a_handlers_bug_ends_the_connection_and_is_reported(run: Run, *, late: bool) -> None:
    async def broken(_connection: Connection, _message: Payload) -> Payload:
        raise ZeroDivisionError

    def handler(connection: Connection, message: Payload) -> Coroutine[None, None, Payload]:
        if late:
            return broken(connection, message)
        raise ZeroDivisionError

    async def body() -> None:
        crashes: list[BaseException] = []
        async with pair(handler, on_crash=crashes.append) as (connection, server):
            with pytest.raises(NoReply):
                await connection.call(append(1))
            assert [type(crash) for crash in crashes] == [ZeroDivisionError]
            assert not connection.is_open
            assert not server.connections

    run(body)


def test_a_callbacks_bug_ends_the_connection_and_is_reported(run: Run) -> None:
    async def body() -> None:
        crashes: list[BaseException] = []
        async with pair(agree, on_crash=crashes.append) as (connection, _):

            def buggy(_reply: object) -> None:
                raise ZeroDivisionError

            connection.post(append(1), buggy)
            assert "ZeroDivisionError" in await connection.closed
            assert [type(crash) for crash in crashes] == [ZeroDivisionError]

    run(body)


def test_a_reply_that_cannot_be_encoded_is_a_bug(run: Run) -> None:
    async def body() -> None:
        crashes: list[BaseException] = []
        async with pair(lambda _, message: Inspect("\ud800"), on_crash=crashes.append) as (connection, _):
            with pytest.raises(NoReply):
                await connection.call(append(1))
            assert [type(crash) for crash in crashes] == [UnicodeEncodeError]

    run(body)


def test_a_query_that_cannot_be_sent_leaves_the_connection_whole(run: Run) -> None:
    async def body() -> None:
        async with pair(lambda _, message: message) as (connection, _):
            bad = Query("db", Mode.RUN, (Statement("SELECT ?", (2**64,)),), "", 1.0)
            good = Query(
                "db", Mode.RUN, (Statement("SELECT ?", (2**63 - 1, b"\x00", "\x00", None, 0.5)),), "", 1.0
            )
            with pytest.raises(ParameterError):
                await connection.call(bad)
            assert await connection.call(good) == good
            assert connection.waiting == 0

    run(body)


def test_what_is_too_large_is_refused_on_either_side(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FRAME_BYTES", 10_000)

    async def body() -> None:
        async with pair(lambda _, message: append(1, 9_990)) as (connection, _):
            with pytest.raises(LimitExceeded):
                await connection.call(append(1, 10_000))
            with pytest.raises(OutcomeUnknown, match="over the limit"):
                await connection.call(append(1))
            assert connection.is_open

    run(body)


def test_a_deadline_says_that_the_request_may_have_been_received(run: Run) -> None:
    async def body() -> None:
        answers: list[asyncio.Future[Payload | None]] = []

        def handler(_connection: Connection, message: Payload) -> asyncio.Future[Payload | None] | Payload:
            if number(message):
                return message
            answers.append(asyncio.get_running_loop().create_future())
            return answers[-1]

        async with pair(handler) as (connection, _):
            with pytest.raises(NoReply, match=r"no reply within 0.01 s") as late:
                await connection.call(append(0), 0.01)
            assert late.value.may_have_applied
            assert connection.waiting == 1
            answers[0].set_result(append(0))
            assert await connection.call(append(1)) == append(1)
            assert connection.waiting == 0

    run(body)


def test_a_cancelled_call_leaves_the_connection_whole(run: Run) -> None:
    async def body() -> None:
        answers: list[asyncio.Future[Payload | None]] = []

        def handler(_connection: Connection, message: Payload) -> asyncio.Future[Payload | None]:
            answers.append(asyncio.get_running_loop().create_future())
            return answers[-1]

        async with pair(handler) as (connection, _):
            first = asyncio.ensure_future(connection.call(append(0)))
            await until(lambda: len(answers) == 1)
            first.cancel()
            second = asyncio.ensure_future(connection.call(append(1)))
            await until(lambda: len(answers) == 2)
            for answer in answers:
                answer.set_result(append(9))
            assert await second == append(9)
            assert first.cancelled()

    run(body)


def never(_connection: Connection, _message: Payload) -> asyncio.Future[Payload | None]:
    return asyncio.get_running_loop().create_future()


def test_an_end_tells_what_left_from_what_did_not(run: Run) -> None:
    async def body() -> None:
        async with pair(never) as (connection, server):
            other = await accepted(server)
            results: list[object] = []
            connection.post(append(1), results.append)
            await until(lambda: other.under_way == 1)
            connection.post(append(2), results.append)
            connection.abort("enough")
            connection.post(append(3), results.append)
            assert results == []
            await until(lambda: len(results) == 3)
            assert [type(result) for result in results] == [NoReply, Unreachable, Unreachable]
            assert await connection.closed == "enough"
            for asking in (connection.call(append(4)), connection.ping(), connection.drain()):
                with pytest.raises(Unreachable, match="enough"):
                    await asking

    run(body)


def test_a_close_still_sends_what_was_posted(run: Run) -> None:
    async def body() -> None:
        taken: list[Payload] = []

        def handler(_connection: Connection, message: Payload) -> None:
            taken.append(message)

        async with pair(handler) as (connection, _):
            results: list[object] = []
            connection.post(append(1), results.append)
            connection.close()
            await until(lambda: bool(results and taken))
            assert isinstance(results[0], NoReply)
            assert taken == [append(1)]

    run(body)


def test_a_peer_that_goes_away_fails_what_waits(run: Run) -> None:
    async def body() -> None:
        async with pair(never) as (connection, server):
            waiting = [asyncio.ensure_future(connection.call(append(index))) for index in range(3)]
            pinged = [asyncio.ensure_future(connection.closed) for _ in range(2)]
            pinged[0].cancel()
            other = await accepted(server)
            await until(lambda: other.under_way == 3)
            reasons: list[str] = []
            connection.on_closed(reasons.append)
            await server.stop()
            errors = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(error) for error in errors] == [NoReply] * 3
            await until(lambda: bool(reasons))
            assert reasons == [await pinged[1]]
            assert connection.waiting == 0

    run(body)


def test_a_connections_end_leaves_its_handlers_running_and_the_servers_end_cancels_them(run: Run) -> None:
    async def body() -> None:
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def handler(_connection: Connection, _message: Payload) -> Payload:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return append(1)

        async with pair(handler) as (connection, server):
            connection.post(append(1), lambda _: None)
            await begun.wait()
            other = await accepted(server)
            connection.close()
            await other.closed
            assert not other.idle
            assert not cancelled.is_set()
            await server.stop()
            assert cancelled.is_set()

    run(body)


def test_a_server_forgets_connections_that_ended(run: Run) -> None:
    async def body() -> None:
        server = await Server.start(LISTENER, agree, "127.0.0.1")
        for _ in range(3):
            connection = await connect(DIALLER, server.endpoint, refuse)
            await connection.call(append(1))
            await connection.stop()
        await until(lambda: not server.connections)
        assert server.refused == 0
        await server.stop()
        with pytest.raises(Unreachable):
            await connect(DIALLER, server.endpoint, refuse)

    run(body)


def test_another_name_another_key_and_no_listener_are_told_apart(run: Run) -> None:
    async def body() -> None:
        async with pair(agree) as (_, server):
            here = server.endpoint
            with pytest.raises(Unreachable, match="follower:1 lives there now"):
                await connect(DIALLER, Endpoint(here.host, here.port, "follower:2", here.region), refuse)
            stranger = Identity("primary:shop", "weur", derive_key(b"token", "other"))
            with pytest.raises(Unauthorized):
                await connect(stranger, here, refuse)
            await until(lambda: server.refused == 2)
        with pytest.raises(Unreachable):
            await connect(DIALLER, here, refuse)

    run(body)


def test_a_listener_that_says_nothing_or_nonsense_is_unreachable(run: Run) -> None:
    async def body() -> None:
        writers: list[asyncio.StreamWriter] = []

        async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            if len(writers) > 1:
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        listener = await asyncio.start_server(talk, "127.0.0.1", 0)
        port: int = listener.sockets[0].getsockname()[1]
        endpoint = Endpoint("127.0.0.1", port, "follower:1", "enam")
        with pytest.raises(Unreachable, match="no answer within"):
            await connect(DIALLER, endpoint, refuse, seconds=0.05)
        with pytest.raises(Unreachable, match="bytes"):
            await connect(DIALLER, endpoint, refuse)
        for writer in writers:
            writer.close()
        listener.close()
        await listener.wait_closed()

    run(body)


def test_a_dial_that_is_given_up_leaves_nothing_open(run: Run) -> None:
    async def body() -> None:
        async with pair(agree) as (_, server):
            for turns in range(12):
                dial = asyncio.ensure_future(connect(DIALLER, server.endpoint, refuse))
                for _ in range(turns):
                    await asyncio.sleep(0)
                if dial.cancel():
                    await asyncio.gather(dial, return_exceptions=True)
                else:
                    await (await dial).stop()
            await until(lambda: len(server.connections) == 1 and server.greeting == 0)

    run(body)


def test_a_ping_measures_the_way_there_and_back(run: Run) -> None:
    async def body() -> None:
        async with pair(never) as (connection, _):
            assert 0 < await connection.ping() < 5
            assert connection.waiting == 0
            with pytest.raises(NoReply):
                await connection.ping(0)

    run(body)


def test_more_requests_than_the_bound_are_refused_without_a_byte(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONNECTION_REQUESTS", 5)

    async def body() -> None:
        async with pair(never) as (connection, server):
            results: list[Payload | Error | None] = []
            for index in range(7):
                connection.post(append(index), results.append)
            await until(lambda: len(results) == 2)
            assert [type(result) for result in results] == [Overloaded, Overloaded]
            other = await accepted(server)
            await until(lambda: other.under_way == 5)
            with pytest.raises(Overloaded):
                await connection.ping()

    run(body)


def test_two_connections_at_their_bound_do_not_block_each_other(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONNECTION_REQUESTS", 4)

    async def body() -> None:
        async def nested(connection: Connection, message: Payload) -> Payload | None:
            return message if number(message) else await connection.call(append(1))

        async with pair(nested, lambda _, message: message) as (connection, _):
            calls = [connection.call(append(0)) for _ in range(4)]
            assert await asyncio.gather(*calls) == [append(1)] * 4

    run(body)
