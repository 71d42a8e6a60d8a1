"""A Ray Dataset of a plan: one read task for each part, which asks the copy in its part's region."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import pyarrow as pa
import ray.data
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from raylite.policies.query import Value
from raylite.router import api
from raylite.router.partitions import Column, Kind, Part, Plan, read

_TYPES: Final[dict[Kind, Any]] = {
    Kind.NOTHING: pa.null(),
    Kind.INTEGER: pa.int64(),
    Kind.REAL: pa.float64(),
    Kind.TEXT: pa.string(),
    Kind.BLOB: pa.binary(),
}


class PlannedSource(Datasource):
    """Reads the parts of a plan, whatever parallelism Ray would choose."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Ray leaves it untyped
        self._plan = plan

    def get_name(self) -> str:
        """Its name in Ray's progress and dashboard."""
        return f"raylite {self._plan.database}"

    def estimate_inmemory_data_size(self) -> int | None:
        """Nobody has counted bytes."""
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        """One for each part."""
        return [self._task(part) for part in self._plan.parts]

    def _task(self, part: Part) -> ReadTask:
        metadata = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return ReadTask(partial(_read, self._plan, part), metadata)


def dataset(plan: Plan, options: dict[str, Any]) -> ray.data.Dataset:
    """The dataset; options: of `ray.data.read_datasource`."""
    made: ray.data.Dataset = ray.data.read_datasource(  # pyright: ignore[reportUnknownMemberType]
        PlannedSource(plan), override_num_blocks=len(plan.parts), **options
    )
    return made


def table(columns: tuple[Column, ...] | None, names: list[Value], rows: list[list[Value]]) -> pa.Table:
    """Rows in columns of the types that the plan found, else of those that their values have."""
    found = list(zip(*rows, strict=True)) or [()] * len(names)
    types = [None] * len(names) if columns is None else [_TYPES[one.kind] for one in columns]
    arrays = [pa.array(values, kind) for values, kind in zip(found, types, strict=True)]
    return pa.Table.from_arrays(arrays, [str(one) for one in names])


def _read(plan: Plan, part: Part) -> Iterable[pa.Table]:
    names, *rows = read(plan, part, api.connect(plan.database, region=part.region))
    return [table(plan.columns, names, rows)]
