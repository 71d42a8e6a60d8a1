"""Tokens of the HTTP API: what is stored of them, whom they let through, and how gateways learn of them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.catalogue_database import CatalogueDatabase

from raylite.actors.token_book import TokenBook
from raylite.policies import limits
from raylite.policies.errors import DatabaseNotFound, NotAllowed, ParameterError, Unreachable
from raylite.policies.tokens import Scope, Token, digest_of, parts_of, text_of, token_name
from raylite.router.http.tokens import TokenAuthorizer

SHOP = "5" * 32


def made(
    name: str, scope: Scope = Scope.WRITE, database_id: str = "", expires_us: int = 0
) -> tuple[Token, str]:
    """A token and its text."""
    token_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    token = Token(token_id, name, digest_of(secret), scope, database_id, 1, expires_us)
    return token, text_of(token_id, secret)


class System:
    """What a gateway asks about tokens. away: whether the registry answers nothing."""

    def __init__(self, *tokens: Token) -> None:
        self.tokens, self.away, self.fetched = list(tokens), False, 0
        self.authorizer = TokenAuthorizer(self._fetch, self._database_id)

    async def _fetch(self) -> list[Token]:
        self.fetched += 1
        if self.away:
            raise Unreachable("registry", "it is away")
        return list(self.tokens)

    async def _database_id(self, name: str) -> str:
        if name != "shop":
            raise DatabaseNotFound(name)
        return SHOP


def run(case: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await case()

    asyncio.run(main())


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TOKENS_SECONDS", 0.01)


def test_scopes_include_those_before_them() -> None:
    assert [[one.includes(other) for other in Scope] for one in Scope] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_a_token_lets_through_whoever_has_its_secret_until_it_expires() -> None:
    now_us = time.time_ns() // 1000
    token, text = made("app", expires_us=now_us + 1_000_000)
    parts = parts_of(text)
    assert parts is not None
    assert token.proves(parts[1], now_us)
    assert not token.proves(parts[1], now_us + 1_000_000)
    assert not token.proves(secrets.token_hex(32), now_us)
    assert not token.proves("é", now_us)
    assert parts[1].encode() not in token.digest


@pytest.mark.parametrize(
    "text", ["", "Bearer", "raylite_", "raylite_" + "0" * 16, "é" * 100, "raylite_x_y\n"]
)
def test_what_is_no_token_is_none(text: str) -> None:
    assert parts_of(text) is None
    run(lambda: _refused(System(), text))


async def _refused(system: System, text: str, scope: Scope = Scope.READ, database: str = "shop") -> None:
    assert not await system.authorizer.check(text, scope, database)


def test_a_token_does_what_its_scope_says_with_its_database_alone() -> None:
    shop, text = made("app", Scope.WRITE, SHOP)
    everything, admin = made("admin", Scope.ADMIN)
    system = System(shop, everything)

    async def case() -> None:
        for database in ("shop", SHOP):
            assert await system.authorizer.check(text, Scope.WRITE, database)
            await _refused(system, text, Scope.ADMIN, database)
        for database in ("", "other", "6" * 32):
            await _refused(system, text, Scope.READ, database)
            assert await system.authorizer.check(admin, Scope.ADMIN, database)
        await _refused(system, text[:-1] + ("0" if text[-1] != "0" else "1"), Scope.READ)

    run(case)


def test_a_new_token_is_known_at_once_and_guesses_are_not_all_looked_up() -> None:
    system = System()

    async def case() -> None:
        await _refused(system, made("guess")[1])
        token, text = made("new")
        system.tokens.append(token)
        assert await system.authorizer.check(text, Scope.WRITE, "shop")
        before = system.fetched
        await asyncio.gather(*(_refused(system, made("guess")[1]) for _ in range(200)))
        assert system.fetched <= before + 2

    run(case)


def test_a_revoked_token_ends_soon_and_others_stay_while_the_registry_is_away(soon: None) -> None:
    (first, first_text), (other, other_text) = made("first"), made("other")
    system = System(first, other)

    async def case() -> None:
        following = asyncio.create_task(system.authorizer.follow())
        assert await system.authorizer.check(first_text, Scope.WRITE, "shop")
        system.tokens.remove(first)
        async with asyncio.timeout(10):
            while await system.authorizer.check(first_text, Scope.WRITE, "shop"):
                await asyncio.sleep(0.01)
        system.away, before = True, system.fetched
        async with asyncio.timeout(10):
            while system.fetched <= before + 1:
                await asyncio.sleep(0.01)
        assert await system.authorizer.check(other_text, Scope.WRITE, "shop")
        await _refused(system, first_text)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    run(case)


# As they are stored


@pytest.fixture
def book(tmp_path: Path) -> Iterator[TokenBook]:
    database = CatalogueDatabase(tmp_path / "catalogue")
    asyncio.run(database.catalogue.prepare())
    yield TokenBook(database.catalogue.run, database.catalogue.all)
    database.engine.close()


def test_tokens_are_stored_listed_and_revoked(book: TokenBook) -> None:
    async def case() -> None:
        first, second = made("b", Scope.ADMIN, SHOP, expires_us=7)[0], made("a")[0]
        for one in (first, second):
            await book.add(one)
        assert await book.all() == [second, first]
        with pytest.raises(NotAllowed, match="second token a"):
            await book.add(made("a")[0])
        await book.revoke("a")
        assert await book.all() == [first]
        with pytest.raises(NotAllowed, match="none of this name"):
            await book.revoke("a")

    run(case)


def test_there_are_so_many_tokens_at_most(book: TokenBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TOKENS", 1)

    async def case() -> None:
        await book.add(made("a")[0])
        with pytest.raises(NotAllowed, match="more than 1"):
            await book.add(made("b")[0])

    run(case)


@pytest.mark.parametrize("name", ["", "-a", "a b", "é", "x" * 65, "a\n"])
def test_names_of_tokens_have_few_characters(name: str) -> None:
    assert token_name("ci@shop-1.eu") == "ci@shop-1.eu"
    with pytest.raises(ParameterError, match="no name of a token"):
        token_name(name)
