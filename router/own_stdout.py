"""Standard output for what a command prints, and for nothing else: Ray prints to it what happens in the cluster."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from typing import Final

from rich.console import Console

console: Final = Console()


@contextmanager
def kept_from_others() -> Generator[None]:
    """Whatever else prints in this process meanwhile does so on standard error."""
    console.file = sys.stdout
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        console.file = None  # type: ignore[assignment] # rich's way to say: standard output, whatever that is then
