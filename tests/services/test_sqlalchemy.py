"""SQLAlchemy over a whole system in one process: core, ORM, reflection, and what happens without transactions."""

from __future__ import annotations

import datetime
import decimal
import tomllib
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload
from sqlalchemy.orm.exc import StaleDataError

from raylite import dbapi
from raylite.policies import errors
from raylite.router.dialect import RayliteDialect


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    version: Mapped[int] = mapped_column()
    orders: Mapped[list[Order]] = relationship(back_populates="customer", cascade="all, delete-orphan")
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id", ondelete="CASCADE"), index=True)
    placed: Mapped[datetime.datetime]
    amount: Mapped[decimal.Decimal] = mapped_column(sa.Numeric(10, 2))
    customer: Mapped[Customer] = relationship(back_populates="orders")


THINGS = sa.Table(
    "things",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, unique=True, nullable=False),
    sa.Column("day", sa.Date),
    sa.Column("at", sa.Time),
    sa.Column("when", sa.DateTime),
    sa.Column("data", sa.LargeBinary),
    sa.Column("more", sa.JSON),
    sa.Column("key", sa.Uuid),
    sa.Column("yes", sa.Boolean),
)


@pytest.fixture
def things(engine: sa.Engine) -> sa.Table:
    THINGS.create(engine)
    return THINGS


@pytest.fixture
def orm(engine: sa.Engine) -> sa.Engine:
    Base.metadata.create_all(engine)
    return engine


def test_the_project_announces_the_dialect() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    name = f"{RayliteDialect.__module__}:{RayliteDialect.__name__}"
    assert project["entry-points"]["sqlalchemy.dialects"] == {"raylite": name}


def test_an_address_names_the_database_and_how_to_reach_it() -> None:
    dialect = RayliteDialect()
    for address in ("raylite:///shop", "raylite://shop"):
        arguments, options = dialect.create_connect_args(sa.make_url(f"{address}?region=weur&timeout=2.5"))
        assert not arguments
        assert (options["name"], options["region"], options["timeout"]) == ("shop", "weur", 2.5)
    for wrong in ("raylite:///shop?colour=red", "raylite://user@/shop", "raylite://host/shop"):
        with pytest.raises(exc.ArgumentError, match="raylite:///NAME"):
            dialect.create_connect_args(sa.make_url(wrong))


def test_types_are_adapted_as_sqlalchemy_does_for_sqlite(engine: sa.Engine, things: sa.Table) -> None:
    given = {
        "name": "ü",
        "day": datetime.date(2026, 1, 31),
        "at": datetime.time(12, 30, 1, 5),
        "when": datetime.datetime(2026, 1, 31, 12, 30, 1, 5),
        "data": b"\x00\xff",
        "more": {"a": [1, None, "x"]},
        "key": uuid.UUID(int=7),
        "yes": True,
    }
    with engine.begin() as connection:
        result = connection.execute(things.insert(), given)
        assert result.inserted_primary_key == (1,)
        row = connection.execute(sa.select(things)).mappings().one()
    assert dict(row) == {"id": 1, **given}


def test_many_rows_returning_upserting_and_counting(engine: sa.Engine, things: sa.Table) -> None:
    rows = [{"name": f"thing {n}"} for n in range(1000)]
    with engine.begin() as connection:
        connection.execute(things.insert(), rows)
        found = connection.execute(things.insert().returning(things.c.id), [{"name": "a"}, {"name": "b"}])
        assert found.scalars().all() == [1001, 1002]
        again = upsert(things).values(name="a", yes=True)
        connection.execute(
            again.on_conflict_do_update(index_elements=["name"], set_={"yes": again.excluded.yes})
        )
        assert connection.scalar(sa.select(things.c.yes).where(things.c.name == "a")) is True
        assert connection.execute(things.delete().where(things.c.id <= 10)).rowcount == 10
        assert connection.scalar(sa.select(sa.func.count()).select_from(things)) == 992


def test_rows_of_one_execution_are_all_written_or_none(engine: sa.Engine, things: sa.Table) -> None:
    with engine.connect() as connection:
        with pytest.raises(exc.IntegrityError) as caught:
            connection.execute(things.insert(), [{"name": "a"}, {"name": "b"}, {"name": "a"}])
        assert isinstance(caught.value.orig, dbapi.IntegrityError)
        assert isinstance(caught.value.orig.__cause__, errors.ConstraintError)
        assert connection.scalar(sa.select(sa.func.count()).select_from(things)) == 0


def test_what_was_written_cannot_be_rolled_back_and_that_is_said(engine: sa.Engine, things: sa.Table) -> None:
    for n in range(5):
        with pytest.raises(exc.NotSupportedError, match="has taken effect and stays"):  # noqa: SIM117
            with engine.connect() as connection:
                connection.execute(things.insert(), {"name": str(n)})
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(things)) == 5
        connection.rollback()
        connection.execute(things.delete())
        connection.commit()
    assert isinstance(engine.pool, sa.QueuePool)
    assert engine.pool.checkedout() == 0


def test_whoever_asks_for_it_gets_rollbacks_that_do_nothing(engine: sa.Engine, things: sa.Table) -> None:
    quiet = sa.create_engine(
        "raylite:///shop", skip_autocommit_rollback=True, creator=lambda: engine.raw_connection().driver_connection
    )  # fmt: skip
    with quiet.connect() as connection:
        connection.execute(things.insert(), {"name": "a"})
    with quiet.connect() as connection:
        assert connection.scalar(sa.select(things.c.name)) == "a"


def test_levels_of_isolation_and_savepoints_that_are_not_there_are_refused(
    engine: sa.Engine, things: sa.Table
) -> None:
    with engine.connect() as connection:
        assert connection.get_isolation_level() == "AUTOCOMMIT"
        with pytest.raises(exc.ArgumentError, match="SERIALIZABLE"):
            connection.execution_options(isolation_level="SERIALIZABLE")
    with engine.connect() as connection, pytest.raises(dbapi.NotSupportedError, match="savepoints"):
        connection.begin_nested()


def test_an_orm_session_writes_loads_and_changes(orm: sa.Engine) -> None:
    placed = datetime.datetime(2026, 1, 31, 12)
    with Session(orm) as session:
        order = Order(placed=placed, amount=decimal.Decimal("9.90"))
        session.add(Customer(name="ada", orders=[order]))
        session.commit()
    with Session(orm) as session:
        ada = session.scalars(sa.select(Customer).options(selectinload(Customer.orders))).one()
        assert [(one.placed, one.amount) for one in ada.orders] == [(placed, decimal.Decimal("9.90"))]
        ada.name = "Ada"
        ada.orders.append(Order(placed=placed, amount=decimal.Decimal(1)))
        session.commit()
        assert (ada.version, len(ada.orders)) == (2, 2)
        session.delete(ada)
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).select_from(Order)) == 0


def test_an_orm_session_that_fails_before_it_wrote_goes_on(orm: sa.Engine) -> None:
    with Session(orm) as session:
        session.add(Customer(name="ada"))
        session.commit()
        session.add(Customer(name="ada"))
        with pytest.raises(exc.IntegrityError):
            session.commit()
        session.rollback()
        session.add(Customer(name="grace"))
        session.commit()
        assert session.scalars(sa.select(Customer.name).order_by(Customer.name)).all() == ["ada", "grace"]


def test_an_orm_session_that_fails_in_the_middle_does_not_pretend(orm: sa.Engine) -> None:
    with Session(orm) as session:
        session.add(Customer(name="ada"))
        session.commit()
    with Session(orm) as session:
        session.add(Customer(name="grace"))
        session.flush()
        session.add(Customer(name="ada"))
        with pytest.raises(exc.NotSupportedError, match="stays") as caught:
            session.flush()
        assert any(isinstance(one, exc.IntegrityError) for one in behind(caught.value))
    with Session(orm) as session:
        assert set(session.scalars(sa.select(Customer.name))) == {"ada", "grace"}


def behind(error: BaseException) -> Iterator[BaseException]:
    """What was being handled when it was raised, and so on."""
    if error.__context__ is not None:
        yield error.__context__
        yield from behind(error.__context__)


def test_two_orm_sessions_that_change_one_row_are_noticed(orm: sa.Engine) -> None:
    with Session(orm) as session:
        session.add(Customer(name="ada"))
        session.commit()
    with Session(orm) as first, Session(orm) as second:
        one, other = first.get_one(Customer, 1), second.get_one(Customer, 1)
        one.name = "first"
        first.commit()
        other.name = "second"
        with pytest.raises(StaleDataError):
            second.commit()


def test_triggers_do_not_disturb_the_orms_counts(orm: sa.Engine) -> None:
    with orm.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE log (n)")
        connection.exec_driver_sql(
            "CREATE TRIGGER logged AFTER UPDATE ON customers BEGIN INSERT INTO log VALUES (1), (2); END"
        )
    with Session(orm) as session:
        session.add(Customer(name="ada"))
        session.commit()
        session.get_one(Customer, 1).name = "Ada"
        session.commit()
        assert session.scalar(sa.text("SELECT count(*) FROM log")) == 2


def test_all_connections_of_an_engine_see_what_one_has_written(engine: sa.Engine, things: sa.Table) -> None:
    def write(n: int) -> bool:
        with engine.begin() as connection:
            connection.execute(things.insert(), {"name": str(n)})
        with engine.connect() as connection:
            return connection.scalar(sa.select(things.c.id).where(things.c.name == str(n))) is not None

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(write, range(100)))


def test_reflection_finds_what_was_made(orm: sa.Engine) -> None:
    with orm.begin() as connection:
        connection.exec_driver_sql("CREATE VIEW names AS SELECT name FROM customers")
    found = sa.MetaData()
    found.reflect(orm, views=True)
    assert set(found.tables) == {"customers", "orders", "names"}
    orders = found.tables["orders"]
    assert orders.c.customer_id.references(found.tables["customers"].c.id)
    assert isinstance(orders.c.placed.type, sa.DateTime)
    assert [one.name for one in orders.indexes] == ["ix_orders_customer_id"]
    inspector = sa.inspect(orm)
    assert inspector.get_schema_names() == ["main"]
    assert inspector.get_unique_constraints("customers")[0]["column_names"] == ["name"]
    assert inspector.get_foreign_keys("orders")[0].get("options") == {"ondelete": "CASCADE"}
    assert inspector.get_temp_table_names() == inspector.get_temp_view_names() == []
    assert not inspector.has_table("missing")
    with pytest.raises(exc.NoSuchTableError):
        sa.Table("missing", sa.MetaData(), autoload_with=orm)


def test_reflection_sees_what_was_made_since_the_connection_last_looked(orm: sa.Engine) -> None:
    for name in ("first", "second"):  # each is new to all connections that know a schema already
        with orm.begin() as connection:
            connection.exec_driver_sql(
                f"""
                CREATE TABLE {name} (
                    a INTEGER UNIQUE, b INTEGER REFERENCES customers (id), CONSTRAINT d UNIQUE (a, b)
                )
                """
            )
            inspector = sa.inspect(connection)
            foreign = inspector.get_foreign_keys(name)
            unique = inspector.get_unique_constraints(name)
        assert [one["referred_table"] for one in foreign] == ["customers"]
        assert {one["name"] for one in unique} == {None, "d"}


def test_names_need_not_be_ascii(engine: sa.Engine) -> None:
    metadata = sa.MetaData()
    parent = sa.Table("Éltern", metadata, sa.Column("測試", sa.Integer, primary_key=True))
    child = sa.Table("測試 %", metadata, sa.Column("é(1)", sa.Integer, sa.ForeignKey(parent.c.測試)))
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(parent.insert(), {"測試": 5})
        connection.execute(child.insert(), {"é(1)": 5})
        assert connection.execute(child.join(parent).select()).mappings().one() == {"測試": 5, "é(1)": 5}
    found = sa.MetaData()
    found.reflect(engine)
    assert set(found.tables) == {"Éltern", "測試 %"}
    assert found.tables["測試 %"].c["é(1)"].references(found.tables["Éltern"].c["測試"])


def test_a_result_tells_the_last_row_id_after_its_rows_are_gone(engine: sa.Engine, things: sa.Table) -> None:
    with engine.begin() as connection:
        inserted = connection.exec_driver_sql("INSERT INTO things (id, name) VALUES (41, 'x')")
        assert (inserted.returns_rows, inserted.lastrowid, inserted.rowcount) == (False, 41, 1)
