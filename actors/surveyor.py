"""Where followers run now, and which regions have nodes: kept true while nodes come and go."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from raylite.actors.ports import Cluster
from raylite.actors.service import boottime
from raylite.policies import limits
from raylite.policies.errors import Error
from raylite.policies.system import Site

Clock = Callable[[], float]


class Surveyor:
    """Looks at the disks of all nodes whenever one has come; whatever it has brought along is started.

    With virtual regions there is one node, and nothing to look for.

    sites: where each follower is, or was last; problems: what went wrong at the last look, in words.
    """

    def __init__(
        self, cluster: Cluster, sites: Sequence[Site], virtual: Sequence[str], clock: Clock = boottime
    ) -> None:
        self.sites = tuple(sites)
        self.problems: tuple[str, ...] = ()
        self._cluster, self._virtual, self._clock = cluster, tuple(virtual), clock
        self._seen = {site.node for site in sites}
        self._few_since: float | None = None

    async def look(self) -> None:
        """Does what is needed now; does not raise, but says in `problems` what went wrong, until it does not again."""
        try:
            await self._look()
        except Error as error:
            self.problems = (str(error),)

    async def regions(self) -> tuple[str, ...]:
        """The regions that have nodes, or the virtual ones."""
        if self._virtual:
            return self._virtual
        return tuple(dict.fromkeys(node.region for node in await self._cluster.nodes()))

    async def present(self) -> tuple[Site, ...]:
        """Sites on nodes that are alive."""
        alive = {node.id for node in await self._cluster.nodes()}
        return tuple(site for site in self.sites if site.node in alive)

    async def _look(self) -> None:
        if self._virtual:
            return
        alive = {node.id for node in await self._cluster.nodes()}
        few = sum(site.node in alive for site in self.sites) < limits.FOLLOWERS
        now = self._clock()
        self._few_since = (self._few_since or now) if few else None
        spare = self._few_since is not None and now - self._few_since >= limits.SPARE_SECONDS
        if spare or not alive <= self._seen:
            found = await self._cluster.survey(self.sites, spare=spare)
            self.sites, self.problems = found.sites, found.problems
            self._seen = alive
            self._few_since = None
