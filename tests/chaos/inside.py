"""What a campaign changes inside actors' processes: their streams, their journals' disks and their clocks.

The product knows nothing of it: Ray runs `install` in each worker before it becomes an actor. There the ports are
replaced by ones that do what `rules` say, and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

from tests.chaos.rules import DRIVER, FOLDER_VARIABLE, World
from tests.chaos.wrong_clocks import WrongClocks
from tests.chaos.wrong_disks import wrong_files
from tests.chaos.wrong_streams import dialling, wrong_connection

from raylite.actors import service, stream
from raylite.actors.storage import log_file
from raylite.actors.stream import Identity
from raylite.router import caller

HOOK = {"__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR": "tests.chaos.inside.install"}
"""Ray's own variable: what each worker calls when it starts."""


def environment(folder: Path) -> Mapping[str, str]:
    """What a Ray node needs in its environment, so that its actors meet the rules in this folder."""
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return HOOK | {FOLDER_VARIABLE: str(folder), "PYTHONPATH": os.pathsep.join(paths)}


def install() -> None:
    """In a worker: everything."""
    world = World(Path(os.environ[FOLDER_VARIABLE]))

    def named(name: str, region: str, key: bytes) -> Identity:
        world.me = name
        return Identity(name, region, key)

    _put(service, Identity=named, time=WrongClocks(world), connect=dialling(world))
    _put(stream, Connection=wrong_connection(world))
    _put(log_file, RealFiles=wrong_files(world))


def install_in_driver(folder: Path, undo: ExitStack) -> None:
    """In the process of the clients: streams only; `undo` gives it back what it had."""
    world = World(folder, DRIVER)
    undo.callback(_put, caller, connect=stream.connect)
    undo.callback(_put, stream, Connection=stream.Connection)
    _put(caller, connect=dialling(world))
    _put(stream, Connection=wrong_connection(world))


def _put(module: ModuleType, **ports: object) -> None:
    """Replaces names that the module has."""
    for name, port in ports.items():
        assert hasattr(module, name), f"{module.__name__} has no {name} any more"
        setattr(module, name, port)
