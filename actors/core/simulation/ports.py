"""What a simulated actor needs of the system around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from raylite.actors.core.shipping import Bounds
from raylite.actors.core.takeover import Adopted
from raylite.policies.bookmark import Bookmark

if TYPE_CHECKING:
    from raylite.actors.core.simulation.checkers import Checkers
    from raylite.actors.core.simulation.cold import Cold
    from raylite.actors.core.simulation.cores import Cores
    from raylite.actors.core.simulation.followers import FollowerProcess
    from raylite.actors.core.simulation.network import Network
    from raylite.actors.core.simulation.primaries import Primary
    from raylite.actors.core.simulation.world import Process, World


class Surroundings(Protocol):
    """The system around one actor."""

    world: World
    network: Network
    checkers: Checkers
    cores: Cores
    cold: Cold
    bounds: Bounds
    database: str
    wall_clocks: bool

    def follower(self, name: str) -> FollowerProcess:
        """The newest process of this follower, dead or alive."""
        ...

    def primary(self) -> Process | None:
        """The newest primary's process, dead or alive."""
        ...

    def report_missing(self) -> None:
        """Somebody has missed the primary for two leases."""
        ...

    def adopted(self, primary: Primary, adopted: Adopted) -> None:
        """A quorum has promised."""
        ...

    def proposed(self, primary: Primary) -> None:
        """A change of the members is about to be written."""
        ...

    def confirmed(self, primary: Primary) -> None:
        """A primary has confirmed something."""
        ...

    def opened(self, primary: Primary) -> None:
        """A reign is open."""
        ...

    def gone(self, process: Process) -> None:
        """A process ends by itself."""
        ...

    def rebuilt(self, shown: Bookmark) -> None:
        """A replica was told that what it shows is not in the log."""
        ...
