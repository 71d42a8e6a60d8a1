"""PEP 249's constructors and type objects. Dates and times are texts, which SQLite's own functions understand."""

from __future__ import annotations

import datetime
from typing import Final

Binary = bytes


def Date(year: int, month: int, day: int) -> str:
    """This date as "2026-01-31"."""
    return datetime.date(year, month, day).isoformat()


def Time(hour: int, minute: int, second: int) -> str:
    """This time of day as "23:59:59"."""
    return datetime.time(hour, minute, second).isoformat()


def Timestamp(year: int, month: int, day: int, hour: int, minute: int, second: int) -> str:
    """This date and time as "2026-01-31 23:59:59"."""
    return datetime.datetime(year, month, day, hour, minute, second).isoformat(" ")


def DateFromTicks(ticks: float) -> str:
    """The local date of these seconds since 1970, as `Date` has it."""
    return _local(ticks).date().isoformat()


def TimeFromTicks(ticks: float) -> str:
    """The local time of day of these seconds since 1970, as `Time` has it; parts of a second are dropped."""
    return _local(ticks).time().isoformat()


def TimestampFromTicks(ticks: float) -> str:
    """The local date and time of these seconds since 1970, as `Timestamp` has it; parts of a second are dropped."""
    return _local(ticks).isoformat(" ")


def _local(ticks: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(ticks))


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
