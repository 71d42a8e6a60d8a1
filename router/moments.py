"""Moments as callers name them: a bookmark, a time as text, a number of seconds, or a datetime."""

from __future__ import annotations

from datetime import UTC, datetime

from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import BookmarkError, ParameterError

Moment = str | int | float | datetime
"""A bookmark, an ISO 8601 time, seconds since 1970, or a datetime; times without a zone are UTC."""


def bookmark_in(moment: Moment) -> str | None:
    """The moment if it is a bookmark, else None."""
    if isinstance(moment, str):
        try:
            return str(Bookmark.parse(moment))
        except BookmarkError:
            return None
    return None


def time_us(moment: Moment) -> int:
    """The moment in microseconds since 1970; raises `ParameterError` if it is no time."""
    try:
        if isinstance(moment, str):
            moment = (
                float(moment) if moment.replace(".", "", 1).isdecimal() else datetime.fromisoformat(moment)
            )
        if isinstance(moment, datetime):
            moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        return round(moment * 1_000_000)
    except (ValueError, OverflowError, TypeError):
        raise ParameterError(
            f"{moment!r} is neither a bookmark nor a time such as 2026-01-31T12:00:00Z"
        ) from None


def as_text(time_us: int) -> str:
    """A time as ISO 8601, UTC."""
    return datetime.fromtimestamp(time_us / 1_000_000, UTC).isoformat(timespec="milliseconds")
