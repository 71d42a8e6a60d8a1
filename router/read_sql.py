"""`raylite.read_sql`: what a query finds as a Ray Dataset, read in parallel from several copies at one bookmark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raylite.router import api
from raylite.router.parameters import Bindable, values
from raylite.router.partitions import plan

if TYPE_CHECKING:
    import ray.data


def read_sql(
    sql: str,
    database: str,
    *,
    params: Sequence[Bindable] = (),
    parallelism: int = 1,
    column: str = "",
    regions: Sequence[str] = (),
    **options: Any,
) -> ray.data.Dataset:
    """What `sql`, a SELECT, finds in the database now, in `parallelism` blocks or fewer, all at one bookmark.

    column: by whose ranges the rows are cut, the first one of numbers unless given; regions: whose copies are asked in
    turn, those of all replicas unless given; options: of `ray.data.read_datasource`, such as `num_cpus`. A part has at
    most 1,000,000 rows and 256 MiB. Above parallelism 1 it needs cold storage, from which each copy's node builds that
    state once. Needs `raylite[data]`. Raises `ParameterError` for rows that cannot be cut so, and what a read raises.
    """
    from raylite.router.ray_dataset import dataset  # noqa: PLC0415 - Ray Data takes a second, and is an extra

    handle = api.connect(database)
    if not regions:
        info = handle.info()
        regions = info.replicas or (info.region,)
    return dataset(plan(handle, sql, values(params), parallelism, column, regions), options)
