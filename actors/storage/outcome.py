"""What came of a write, in the few bytes of its entry that a repetition of it is answered from."""

from __future__ import annotations

from typing import Final

import msgspec

from raylite.actors.storage.engine import Execution
from raylite.actors.storage.engine_traced import row_bytes
from raylite.policies import errors
from raylite.policies.errors import Corrupt, Error, OutcomeNotKept
from raylite.policies.limits import OUTCOME_BYTES
from raylite.policies.open_values import OpenRows
from raylite.policies.query import Rows

_STATEMENT_BYTES: Final = 64
"""About what a result without rows takes."""


class _Outcome(msgspec.Struct, frozen=True, array_like=True):
    results: list[Rows]
    wrote: bool
    error: tuple[str, tuple[str | int | float, ...]] | None


class _OpenOutcome(msgspec.Struct, frozen=True, array_like=True):
    results: list[OpenRows]
    wrote: bool
    error: tuple[str, tuple[str | int | float, ...]] | None

    def value(self) -> Execution:
        error = errors.decode(*self.error) if self.error else None
        return Execution([one.value() for one in self.results], self.wrote, error)


def encode_outcome(execution: Execution) -> bytes:
    """What to keep of it: all, or an `OutcomeNotKept` if its rows have more than OUTCOME_BYTES."""
    if _is_large(execution.results):
        return _encode([], execution.wrote, OutcomeNotKept(OUTCOME_BYTES))
    return _encode(execution.results, execution.wrote, execution.error)


def decode_outcome(encoded: bytes) -> Execution:
    """What was done; raises `Corrupt`."""
    try:
        return msgspec.msgpack.decode(encoded, type=_OpenOutcome).value()
    except (ValueError, TypeError, RecursionError) as error:
        raise Corrupt("a write's outcome", f"its {len(encoded)} bytes", str(error)) from error


def _is_large(results: list[Rows]) -> bool:
    size = 0
    for result in results:
        for row in result.rows:
            size += row_bytes(row)
            if size > OUTCOME_BYTES:
                return True
        size += _STATEMENT_BYTES
    return size > OUTCOME_BYTES


def _encode(results: list[Rows], wrote: bool, error: Error | None) -> bytes:
    return msgspec.msgpack.encode(_Outcome(results, wrote, errors.encode(error) if error else None))
