"""raylite: SQLite databases on a Ray cluster, with quorum durability, read replicas and consistent sessions."""

from raylite.policies.errors import Error, OutcomeUnknown
from raylite.policies.status import Restored, TimeSpan, Verified
from raylite.router.api import connect, connect_async, init, set_routing_policy, shutdown
from raylite.router.client import AsyncDatabase, DatabaseInfo
from raylite.router.moving import Exported, ImportedFile, Step
from raylite.router.read_sql import read_sql
from raylite.router.result import Meta, Result, Timings
from raylite.router.statements import AsyncPast, AsyncSession, AsyncStatement
from raylite.router.sync import Database, Past, Session, Statement

__all__ = [
    "AsyncDatabase",
    "AsyncPast",
    "AsyncSession",
    "AsyncStatement",
    "Database",
    "DatabaseInfo",
    "Error",
    "Exported",
    "ImportedFile",
    "Meta",
    "OutcomeUnknown",
    "Past",
    "Restored",
    "Result",
    "Session",
    "Statement",
    "Step",
    "TimeSpan",
    "Timings",
    "Verified",
    "connect",
    "connect_async",
    "init",
    "read_sql",
    "set_routing_policy",
    "shutdown",
]
