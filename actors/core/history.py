"""Whether a bookmark belongs to a log, judged by what is at hand (docs/architecture.md, Bookmarks)."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable

from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import BookmarkError
from raylite.policies.limits import RECOVERY_EPOCHS, REMEMBERED_PLACES


class History:
    """The newest places of one log, and the table of its epochs for those before.

    epochs: (epoch, sequence of its first entry), ascending. `end` is the newest entry known.
    """

    def __init__(self, end: Bookmark, epochs: Iterable[tuple[int, int]] = ()) -> None:
        self.end = end
        self._epochs = list(epochs)
        self._digests: OrderedDict[int, bytes] = OrderedDict({end.sequence: end.digest})

    @property
    def epochs(self) -> tuple[tuple[int, int], ...]:
        """The table of epochs."""
        return tuple(self._epochs)

    def learn_epochs(self, epochs: Iterable[tuple[int, int]]) -> None:
        """The table as a leader tells it; what this log holds beyond it stays."""
        told = list(epochs)
        last = told[-1] if told else (0, 0)
        self._epochs = told + [entry for entry in self._epochs if entry > last]

    def extend(self, place: Bookmark) -> None:
        """One more entry."""
        if not self._epochs or self._epochs[-1][0] < place.epoch:
            self._epochs.append((place.epoch, place.sequence))
        self.end = place
        self._digests[place.sequence] = place.digest
        if len(self._digests) > REMEMBERED_PLACES:
            self._digests.popitem(last=False)

    def check_database(self, bookmark: Bookmark) -> None:
        """Raises `BookmarkError` if it is of another database."""
        if bookmark.history != self.end.history:
            raise BookmarkError(str(bookmark), "is of another database")

    def covers(self, bookmark: Bookmark) -> bool:
        """Whether the log reaches that far; an earlier epoch's sequence beyond the end is no later place."""
        return (bookmark.epoch, bookmark.sequence) <= (self.end.epoch, self.end.sequence)

    def check(self, bookmark: Bookmark) -> None:
        """Raises `BookmarkError` unless it is a place of this log, as far as that can still be told."""
        self.check_database(bookmark)
        if not self.covers(bookmark) or not self._stands(bookmark):
            lost = "was lost when this database was rebuilt from cold storage: begin a new session"
            raise BookmarkError(
                str(bookmark), lost if self._is_lost(bookmark) else "is not in this database's history"
            )

    def _is_lost(self, bookmark: Bookmark) -> bool:
        """Whether it is of an entry behind the last one that a rebuild found; there the table leaps."""
        before = 0
        for epoch, first in self._epochs:
            leaps = epoch - before >= RECOVERY_EPOCHS
            if leaps and before <= bookmark.epoch < epoch and bookmark.sequence >= first:
                return True
            before = epoch
        return False

    def _stands(self, bookmark: Bookmark) -> bool:
        digest = self._digests.get(bookmark.sequence)
        if digest is not None:
            return digest == bookmark.digest
        epoch = self._epoch_of(bookmark.sequence)
        return bookmark.sequence == 0 or epoch is None or epoch == bookmark.epoch

    def _epoch_of(self, sequence: int) -> int | None:
        """None if the table does not reach that far back: a copy that just started was not told it yet."""
        index = bisect_right(self._epochs, sequence, key=lambda entry: entry[1])
        return self._epochs[index - 1][0] if index else None
