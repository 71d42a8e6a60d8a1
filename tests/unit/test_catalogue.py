"""The registry's tables, in a database of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.catalogue_database import CatalogueDatabase

from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import DatabaseExists, DatabaseNotFound, StorageFull
from raylite.policies.quorum import Member, Members

MEMBERS = Members((Member("follower:0", "i0"),))
SHOP = DatabaseEntry("id1", "shop", None, "enam", ("enam", "weur"), "auto", 7)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[CatalogueDatabase]:
    made = CatalogueDatabase(tmp_path / "catalogue")
    asyncio.run(made.catalogue.prepare())
    yield made
    made.engine.close()


def test_a_catalogue_that_is_there_opens_without_writing(database: CatalogueDatabase) -> None:
    database.refusal = StorageFull("followers", "no room")
    asyncio.run(database.catalogue.prepare())
    assert asyncio.run(database.catalogue.all()) == []
    with pytest.raises(StorageFull):
        asyncio.run(database.catalogue.insert(SHOP))


def test_a_name_is_taken_once_until_it_is_deleted(database: CatalogueDatabase) -> None:
    async def case() -> None:
        catalogue = database.catalogue
        await catalogue.insert(SHOP)
        with pytest.raises(DatabaseExists):
            await catalogue.insert(DatabaseEntry("id2", "shop", None, "enam", (), "auto", 8))
        entry = await catalogue.set_members(SHOP, MEMBERS)
        assert (entry.members, await catalogue.all()) == (MEMBERS, [entry])
        await catalogue.delete(entry, 99)
        with pytest.raises(DatabaseNotFound):
            await catalogue.get("shop")
        (deleted,) = await catalogue.deleted()
        assert (deleted.database_id, deleted.members, deleted.deleted_us) == ("id1", MEMBERS, 99)
        await catalogue.insert(DatabaseEntry("id2", "shop", None, "enam", (), "auto", 8))
        await catalogue.forget("id1")
        assert await catalogue.deleted() == []
        assert (await catalogue.get("shop")).database_id == "id2"

    asyncio.run(case())


def test_members_are_written_once(database: CatalogueDatabase) -> None:
    async def case() -> None:
        await database.catalogue.insert(SHOP)
        await database.catalogue.set_members(SHOP, MEMBERS)
        other = Members((Member("follower:1", "i1"),))
        assert (await database.catalogue.set_members(SHOP, other)).members == MEMBERS

    asyncio.run(case())


def test_a_database_that_was_never_joined_can_be_deleted(database: CatalogueDatabase) -> None:
    async def case() -> None:
        await database.catalogue.insert(SHOP)
        await database.catalogue.delete(SHOP, 1)
        assert [one.members for one in await database.catalogue.deleted()] == [None]

    asyncio.run(case())
