"""Progress on standard error, for whatever takes longer than a second; nothing when that is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from raylite.router.moving import Step

console = Console(stderr=True)


@contextmanager
def steps(title: str) -> Generator[Callable[[str], None]]:
    """A line that says which step is under way and for how long; the given function names the next step."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda step: progress.update(task, description=f"{title}: {step}")


@contextmanager
def bar(title: str, total: int) -> Generator[Callable[[int], None]]:
    """A bar; the given function says how many are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def moving(title: str) -> Generator[Callable[[Step], None]]:
    """A bar in bytes for each step of an export or import, by its name; the given function says how far it is."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)

        def tell(step: Step) -> None:
            name = f"{title}: {step.name}"
            progress.update(task, description=name, completed=step.done, total=step.total or None)

        yield tell
