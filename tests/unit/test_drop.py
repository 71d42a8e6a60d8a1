"""A deleted database: what followers say of it, what its primary makes of that, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from raylite.actors.catalogue import Catalogue
from raylite.actors.core import follower as core
from raylite.actors.core import leader as lead
from raylite.actors.core import messages as m
from raylite.actors.core import store
from raylite.actors.core.log import LogIndex
from raylite.actors.core.primary import Phase, PrimaryCore
from raylite.actors.removal import Removal
from raylite.actors.storage.copy_removal import remove_copies
from raylite.actors.storage.directory import Directory
from raylite.policies import limits
from raylite.policies.bookmark import origin
from raylite.policies.errors import Unreachable
from raylite.policies.query import Answer, Failure, Query, Rows, StatementMeta, Value
from raylite.policies.quorum import Member, Members

MEMBERS = Members(tuple(Member(f"follower:{n}", f"i{n}") for n in range(5)))
ORIGIN = origin("db")


def replies(effects: Sequence[core.Effect]) -> list[m.FromFollower]:
    return [one.message for one in effects if isinstance(one, core.Reply)]


def test_a_follower_that_was_told_knows_nothing_any_more_and_never_joins_again() -> None:
    log = core.FollowerLog("db", "i0", LogIndex(ORIGIN, MEMBERS), promised=3, started=0.0)
    log.receive(m.Append("db", "i0", 1, 4, "dir", ORIGIN, [], ORIGIN, ORIGIN), None, 10.0)
    first, answer = log.receive(m.Drop("db"), None, 10.0)
    assert (first, replies([answer])) == (store.StoreDropped(), [m.Dropped("db")])
    assert replies(log.receive(m.Drop("db"), None, 11.0)) == [m.Dropped("db")]
    late: list[m.ToFollower] = [
        m.Join("db"), m.Inspect("db"), m.Found("db", "i0", MEMBERS), m.Promise("db", "i0", 7, 9, "dir"),
        m.Append("db", "i0", 7, 9, "dir", ORIGIN, [], ORIGIN, ORIGIN), m.Read("db", "i0", ORIGIN, 1),
    ]  # fmt: skip
    for message in late:
        effects = log.receive(message, None, 12.0)
        number = getattr(message, "number", 0)
        assert effects == [core.Reply(None, m.Unknown("db", number, False, True))]
    assert not log.tick(100.0)
    assert log.missed_seconds(100.0) == 0


def test_one_that_gave_the_database_up_drops_it_all_the_same() -> None:
    log = core.FollowerLog("db", "i0", LogIndex(ORIGIN, None), gave_up=True, started=0.0)
    assert replies(log.receive(m.Drop("db"), None, 1.0)) == [m.Dropped("db")]
    assert (log.dropped, log.gave_up) == (True, False)


@pytest.mark.parametrize("phase", [Phase.TAKING_OVER, Phase.OPEN])
def test_a_primary_that_hears_of_it_ends_its_reign_for_good(phase: Phase) -> None:
    primary = PrimaryCore("db", "shop", MEMBERS, "dir", jitter=0.0)
    primary.phase = phase
    assert not primary.received("follower:0/i0", m.Unknown("db", 1), 0.0)
    assert primary.phase is phase
    effects = primary.received("follower:0/i0", m.Unknown("db", 1, False, True), 0.0)
    assert any(isinstance(one, lead.Fenced) for one in effects)
    assert primary.phase is Phase.OVER


class Told:
    """Followers that take what they are told, but for those that are away or refuse."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.silent: set[str] = set()

    async def ask(self, follower: str, message: m.Drop) -> object:
        if follower in self.silent:
            raise Unreachable(follower, "it is away")
        self.heard.append(follower)
        return m.Dropped(message.database)


class Table:
    """The catalogue's table of deleted databases."""

    def __init__(self, members: Members | None) -> None:
        self.rows: list[tuple[Value, ...]] = [("db", _encoded(members), 0)]

    async def ask(self, query: Query) -> Answer | Failure:
        if query.statements[0].sql.startswith("DELETE FROM deleted"):
            assert query.statements[0].params == ("db",)
            self.rows = []
        meta = StatementMeta(0.0, 0, 0, False, 0, 0, 0)
        return Answer([Rows(("id", "members", "deleted_us"), self.rows, meta)], "", "", "", True, False)


def _encoded(members: Members | None) -> bytes:
    return msgspec.msgpack.encode(members)


LATER_US = int(limits.DELETED_SECONDS * 1_000_000)


def test_everybody_is_told_once_and_once_again_later_and_who_is_away_when_it_is_back() -> None:
    told, table = Told(), Table(MEMBERS)
    removal = Removal(Catalogue("registry", table.ask), told.ask, cold=False)
    everyone = [f"follower:{n}" for n in range(6)]

    async def rounds() -> None:
        told.silent = {"follower:1"}
        await removal.run([one for one in everyone if one != "follower:2"], 0)
        assert sorted(told.heard) == ["follower:0", "follower:3", "follower:4", "follower:5"]
        told.silent = set()
        for _ in range(2):
            await removal.run(everyone, LATER_US - 1)
            assert sorted(told.heard) == everyone
        told.silent, told.heard = {"follower:1"}, []
        await removal.run(everyone, LATER_US)
        assert table.rows
        told.silent = set()
        await removal.run(everyone, LATER_US)
        assert sorted(told.heard) == everyone
        assert not table.rows
        await removal.run(everyone, LATER_US)
        assert not removal.due

    asyncio.run(rounds())


def test_one_that_never_had_members_is_forgotten_once_all_who_are_there_were_told() -> None:
    told, table = Told(), Table(None)
    asyncio.run(Removal(Catalogue("registry", table.ask), told.ask, cold=False).run(["follower:0"], LATER_US))
    assert not table.rows


def test_copies_go_only_when_no_process_uses_them(tmp_path: Path) -> None:
    folder = tmp_path / "databases" / "db"
    used = Directory.claim(folder / "primary", 0)
    Directory.claim(folder / "replica-weur", 0).release()
    (folder / "replica-weur" / "generation-00000001").mkdir()
    with pytest.raises(Unreachable):
        remove_copies(folder)
    assert (folder / "primary").is_dir()
    used.release()
    remove_copies(folder)
    assert not folder.exists()
    remove_copies(folder)
