"""PEP 249's constructors and type objects. The driver adapts nothing: dates are texts, as SQLite has them."""

from __future__ import annotations

import datetime
from typing import Final

Date = datetime.date
Time = datetime.time
Timestamp = datetime.datetime
Binary = bytes


def DateFromTicks(ticks: float) -> datetime.date:
    """The local date of these seconds since 1970."""
    return datetime.date.fromtimestamp(ticks)


def TimeFromTicks(ticks: float) -> datetime.time:
    """The local time of day of these seconds since 1970."""
    return datetime.datetime.fromtimestamp(ticks).time()


def TimestampFromTicks(ticks: float) -> datetime.datetime:
    """The local date and time of these seconds since 1970."""
    return datetime.datetime.fromtimestamp(ticks)


class TypeObject:
    """Equal to no type code: SQLite has types of values, none of columns, so `description` says None."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


STRING: Final = TypeObject("STRING")
BINARY: Final = TypeObject("BINARY")
NUMBER: Final = TypeObject("NUMBER")
DATETIME: Final = TypeObject("DATETIME")
ROWID: Final = TypeObject("ROWID")
