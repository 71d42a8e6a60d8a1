"""Bodies and results of Cloudflare's API for D1, as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, Field

from raylite.policies.names import REGION_CHARACTERS

Account = Annotated[str, Path(description="Any text: all accounts are one.")]
Name = Annotated[str, Path(description="A database, by its name or uuid.")]
Bookmark = str


class Sql(BaseModel):
    """One text of one or more statements; the parameters are the last one's."""

    sql: str
    params: list[Any] | None = None


class Batch(BaseModel):
    """Several texts, in one transaction."""

    batch: list[Sql]


class Timings(BaseModel):
    """Where the time went, in milliseconds."""

    sql_duration_ms: float


class Meta(BaseModel):
    """What was done, and who did it."""

    served_by: str
    served_by_region: str
    served_by_primary: bool
    duration: float
    changes: int
    last_row_id: int
    changed_db: bool
    size_after: int
    rows_read: int
    rows_written: int


class QueryMeta(Meta):
    """What a statement did, and who ran it."""

    timings: Timings
    total_attempts: int


class QueryResult(BaseModel):
    """A statement's rows as objects."""

    success: Literal[True]
    results: list[dict[str, Any]]
    meta: QueryMeta


class Table(BaseModel):
    """Rows as arrays."""

    columns: list[str]
    rows: list[list[Any]]


class RawResult(BaseModel):
    """A statement's rows as arrays."""

    success: Literal[True]
    results: Table
    meta: QueryMeta


class ReadReplication(BaseModel):
    """Where replicas are: in every region, or nowhere."""

    mode: Literal["auto", "disabled"]


class NewDatabase(BaseModel):
    """A database to make."""

    name: str
    primary_location_hint: Annotated[str, Field(max_length=REGION_CHARACTERS)] | None = None
    jurisdiction: str | None = None
    read_replication: ReadReplication | None = None


class Update(BaseModel):
    """What a database is to be."""

    read_replication: ReadReplication


class PartialUpdate(BaseModel):
    """What of a database is to change."""

    read_replication: ReadReplication | None = None


class DatabaseSummary(BaseModel):
    """A database in a list."""

    uuid: str
    name: str
    version: Literal["production"]
    created_at: str
    running_in_region: str
    read_replication: ReadReplication


class Database(BaseModel):
    """A database; fields that were not asked for are missing."""

    uuid: str | None = None
    name: str | None = None
    version: Literal["production"] | None = None
    created_at: str | None = None
    num_tables: int | None = None
    file_size: int | None = None
    running_in_region: str | None = None
    created_in_region: str | None = None
    read_replication: ReadReplication | None = None


class PageInfo(BaseModel):
    """Which part of a list this is."""

    count: int
    page: int
    per_page: int
    total_count: int


class Moment(BaseModel):
    """A state of a database."""

    bookmark: Bookmark


class Restored(BaseModel):
    """A restore: the state now, and the one before, which undoes it."""

    bookmark: Bookmark
    previous_bookmark: Bookmark
    message: str


class DumpOptions(BaseModel):
    """What of a database."""

    no_schema: bool = False
    no_data: bool = False
    tables: list[str] = []


class ExportBody(BaseModel):
    """Begins an export, or with `at_bookmark` of an earlier answer asks about one."""

    output_format: Literal["polling"]
    dump_options: DumpOptions | None = None
    current_bookmark: str | None = None


class ExportedFile(BaseModel):
    """Where the file is: a URL that needs no token, for an hour."""

    filename: str
    signed_url: str


class ExportState(BaseModel):
    """How far an export is."""

    success: Literal[True]
    type: Literal["export"]
    status: Literal["active", "complete", "error"]
    at_bookmark: str
    messages: list[str]
    error: str | None = None
    result: ExportedFile | None = None


class Init(BaseModel):
    """Asks where to put a file with this MD5."""

    action: Literal["init"]
    etag: Annotated[str, Field(pattern="^[0-9a-fA-F]{32}$")]


class Ingest(BaseModel):
    """Has the file applied that was put there."""

    action: Literal["ingest"]
    etag: Annotated[str, Field(pattern="^[0-9a-fA-F]{32}$")]
    filename: str


class Poll(BaseModel):
    """Asks about an import with `at_bookmark` of an earlier answer."""

    action: Literal["poll"]
    current_bookmark: str


ImportBody = Annotated[Init | Ingest | Poll, Field(discriminator="action")]


class UploadPlace(BaseModel):
    """Where to put the file: a URL that needs no token."""

    filename: str
    upload_url: str


class ImportResult(BaseModel):
    """A file that was applied."""

    final_bookmark: Bookmark
    num_queries: int
    meta: Meta


class ImportState(BaseModel):
    """How far an import is."""

    success: Literal[True]
    type: Literal["import"]
    status: Literal["active", "complete", "error"]
    at_bookmark: str
    messages: list[str]
    errors: list[str] = []
    error: str | None = None
    result: ImportResult | None = None


class GraphqlBody(BaseModel):
    """A question of `wrangler d1 info` or `insights`."""

    query: str
    operationName: str | None = None
    variables: dict[str, Any] = {}


class GraphqlAnswer(BaseModel):
    """Groups of queries, or errors."""

    data: dict[str, Any] | None
    errors: list[dict[str, str]] | None
