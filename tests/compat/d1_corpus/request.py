"""Requests for D1's binding protocol, as the binding in a Worker makes them."""

from __future__ import annotations

from typing import Final

import msgspec

ROWS: Final = "/query?resultsFormat=ROWS_AND_COLUMNS"
RUN: Final = "/execute?resultsFormat=NONE"


class Request(msgspec.Struct, frozen=True):
    """A target, and a body: bytes as they are, anything else as JSON.

    differs: why raylite answers something else, "" if it answers the same.
    """

    target: str
    body: object
    differs: str = ""

    def but(self, differs: str) -> Request:
        """The same request, whose answer differs for this reason."""
        return msgspec.structs.replace(self, differs=differs)


def rows(sql: str, *params: object) -> Request:
    """What `all`, `first` and `raw` send."""
    return Request(ROWS, {"sql": sql, "params": list(params)})


def run(sql: str, *params: object) -> Request:
    """What `run` sends."""
    return Request(RUN, {"sql": sql, "params": list(params)})


def batch(*entries: str | tuple[object, ...]) -> Request:
    """What `batch` sends: texts, or a text and its parameters."""
    each = [(one,) if isinstance(one, str) else one for one in entries]
    return Request(ROWS, [{"sql": sql, "params": params} for sql, *params in each])


def execute(text: str) -> Request:
    """What `exec` sends: an entry for each line, without parameters."""
    return Request(RUN, [{"sql": line} for line in text.strip().split("\n")])


def body(text: bytes) -> Request:
    """Any bytes."""
    return Request(ROWS, text)
