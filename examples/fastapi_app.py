"""A FastAPI application over a raylite database: orders that every reader sees who has seen their bookmark.

    raylite up && uvicorn --app-dir examples fastapi_app:app

Each answer has the header `x-bookmark`; a client that sends it back reads at least that state, from the nearest copy.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Response
from pydantic import BaseModel

import raylite


class Order(BaseModel):
    """What a client sends."""

    customer: str
    qty: int


@asynccontextmanager
async def lifespan(application: FastAPI) -> AsyncIterator[None]:
    """The database, and its table; a connection for all requests."""
    name = os.environ.get("ORDERS_DATABASE", "orders")
    application.state.database = database = await raylite.connect_async(name, create=True)
    await database.exec(
        "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer TEXT, qty INTEGER)"
    )
    yield


app = FastAPI(lifespan=lifespan)


async def session_of(x_bookmark: Annotated[str, Header()] = "") -> raylite.AsyncSession:
    """A session that goes on where the client's last answer was."""
    database: raylite.AsyncDatabase = app.state.database
    return database.with_session(x_bookmark)


Session = Annotated[raylite.AsyncSession, Depends(session_of)]


@app.post("/orders")
async def order(order: Order, session: Session, response: Response) -> dict[str, object]:
    """Stores an order."""
    insert = session.prepare("INSERT INTO orders (customer, qty) VALUES (?, ?) RETURNING id")
    found = await insert.bind(order.customer, order.qty).all()
    response.headers["x-bookmark"] = session.bookmark
    return found.results[0]


@app.get("/orders/{customer}")
async def orders(customer: str, session: Session, response: Response) -> list[dict[str, object]]:
    """A customer's orders."""
    found = await session.prepare("SELECT id, qty FROM orders WHERE customer = ?").bind(customer).all()
    response.headers["x-bookmark"] = session.bookmark
    return list(found.results)
