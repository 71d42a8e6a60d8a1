"""In which regions a database has a replica."""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

from raylite.policies.errors import InvalidName
from raylite.policies.names import region_name


class ReplicationMode(enum.StrEnum):
    """AUTO: in every region that has nodes; STATIC: in those listed; DISABLED: nowhere."""

    AUTO = "auto"
    STATIC = "static"
    DISABLED = "disabled"


class Replication(msgspec.Struct, frozen=True):
    """The setting of one database. regions: for STATIC, in order and each once.

    Its text is "auto", "disabled", or the regions with commas between.
    """

    mode: ReplicationMode = ReplicationMode.AUTO
    regions: tuple[str, ...] = ()

    @classmethod
    def static(cls, regions: Iterable[str]) -> Replication:
        """A list of regions; raises `InvalidName` for a name that no region may have, or for no name."""
        names = tuple(dict.fromkeys(map(region_name, regions)))
        if not names:
            raise InvalidName("", "a list of replica regions is not empty; say 'disabled' for no replica")
        return cls(ReplicationMode.STATIC, names)

    @classmethod
    def parse(cls, text: str) -> Replication:
        """The setting of this text; raises `InvalidName` if it is none."""
        if text in (ReplicationMode.AUTO, ReplicationMode.DISABLED):
            return cls(ReplicationMode(text))
        return cls.static(part.strip() for part in text.split(","))

    def __str__(self) -> str:
        return ",".join(self.regions) if self.mode is ReplicationMode.STATIC else self.mode.value

    def wanted(self, with_nodes: Iterable[str]) -> tuple[str, ...]:
        """The regions that shall have a replica now, given those that have nodes; sorted."""
        present = set(with_nodes)
        match self.mode:
            case ReplicationMode.AUTO:
                return tuple(sorted(present))
            case ReplicationMode.STATIC:
                return tuple(sorted(present.intersection(self.regions)))
            case ReplicationMode.DISABLED:
                return ()

    def unmet(self, with_nodes: Iterable[str]) -> tuple[str, ...]:
        """The listed regions that get no replica because they have no node; sorted."""
        return tuple(sorted(set(self.regions).difference(with_nodes)))
