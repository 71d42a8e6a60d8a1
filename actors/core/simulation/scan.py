"""What clients were told, against the log that there is in the end: its order is the order of everything."""

from __future__ import annotations

from bisect import bisect_right

from raylite.actors.core.simulation.checkers import Checker, Checkers
from raylite.actors.core.simulation.entries import FIRST_PAGE, State
from raylite.actors.core.simulation.history import Kind, Operation, Outcome


class Scan:
    """One pass over all operations."""

    def __init__(self, checkers: Checkers) -> None:
        self._checkers = checkers
        self._sequences: dict[int, int] = {0: 0}
        self._versions: dict[int, list[tuple[int, int]]] = {}
        self._writes: list[int] = []
        for sequence, entry in checkers.log().items():
            if entry.write:
                self._sequences[entry.write] = sequence
                self._writes.append(sequence)
            for page in entry.pages:
                self._versions.setdefault(page, []).append((sequence, entry.write))

    def state(self) -> State:
        """The database's pages at the end."""
        return {page: versions[-1][1] for page, versions in self._versions.items()}

    def check(self) -> None:
        """Notes every violation."""
        self._check_gaps()
        shown: dict[str, int] = {}
        for operation in self._checkers.operations:
            if operation.outcome is Outcome.REFUSED:
                self._check_refused(operation)
            elif operation.outcome is Outcome.DONE:
                self._check_done(operation, shown)

    def _check_gaps(self) -> None:
        if len(self._checkers.safe) != self._checkers.safe_end + 1:
            self._checkers.violated(Checker.ORDER, "the log has gaps")

    def _check_refused(self, operation: Operation) -> None:
        if operation.kind is Kind.WRITE and operation.write in self._sequences:
            self._checkers.violated(Checker.ACKNOWLEDGED, f"it was refused, but it is there: {operation}")

    def _check_done(self, operation: Operation, shown: dict[str, int]) -> None:
        write = operation.write if operation.kind is Kind.WRITE else operation.seen
        sequence = self._sequences.get(write)
        if sequence is None:
            name = Checker.ACKNOWLEDGED if operation.kind is Kind.WRITE else Checker.VISIBLE
            self._checkers.violated(name, f"what it told of is not in the log: {operation}")
            return
        self._check_order(operation, sequence, shown)
        if operation.kind is Kind.READ:
            self._check_snapshot(operation, sequence)

    def _check_order(self, operation: Operation, sequence: int, shown: dict[str, int]) -> None:
        before = max(operation.floor, shown.get(operation.session, 0))
        wrote = operation.kind is Kind.WRITE
        if (wrote and sequence <= before) or (not wrote and self._until(sequence) <= before):
            what = f"sequence {sequence} after {before}: {operation}"
            self._checkers.violated(Checker.SESSION, what)
        shown[operation.session] = max(sequence, before)
        if operation.by_primary and sequence < operation.latest:
            self._checkers.violated(
                Checker.LINEAR, f"sequence {sequence} after {operation.latest}: {operation}"
            )
        if operation.bookmark is not None and operation.bookmark.sequence < sequence:
            self._checkers.violated(
                Checker.SESSION, f"bookmark {operation.bookmark} is below {sequence}: {operation}"
            )

    def _until(self, sequence: int) -> int:
        """The sequence of the next write: a read that found the one before saw the log up to somewhere below it."""
        index = bisect_right(self._writes, sequence)
        return self._writes[index] if index < len(self._writes) else self._checkers.safe_end + 1

    def _check_snapshot(self, operation: Operation, sequence: int) -> None:
        versions = self._versions.get(operation.pages[0], [])
        count = bisect_right(versions, sequence, key=lambda version: version[0])
        wanted = versions[count - 1][1] if count else 0
        if operation.value != wanted:
            what = f"page {operation.pages[0]} had {wanted} at sequence {sequence}: {operation}"
            self._checkers.violated(Checker.SESSION, what)

    def check_copy(self, name: str, pages: State) -> None:
        """A copy is what the log adds up to."""
        wanted = self.state()
        if pages != wanted:
            differ = [page for page in sorted({*pages, *wanted}) if pages.get(page) != wanted.get(page)]
            self._checkers.violated(Checker.CONVERGED, f"{name} differs in pages {differ}")


def newest(pages: State) -> int:
    """The newest write in these pages."""
    return pages.get(FIRST_PAGE, 0)
