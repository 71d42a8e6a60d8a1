"""What a router has learned of one database: which texts read and which write, and how far its log certainly goes.

Nothing but the text of its statements tells a read whose answer was lost from a write.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from raylite.policies import limits
from raylite.policies.query import Answer, Mode, Query, Statement


class Learned:
    """Which texts read and which write, as answers for one database have said; others are not known.

    Only SQLite decides: a text is a read after an answer said that nothing in its query was a write, and a write
    after it was alone in one that was, or changed the database.
    newest: text of the newest bookmark seen, or "".
    """

    def __init__(self, bound: int = limits.REMEMBERED_TEXTS) -> None:
        self.newest = ""
        self._reads, self._writes = Texts(bound), Texts(bound)

    def reads(self, query: Query) -> bool:
        """Whether it is certain that no statement of the query writes."""
        return query.mode is not Mode.SCRIPT and all(one.sql in self._reads for one in query.statements)

    def writes(self, query: Query) -> bool:
        """Whether a statement of the query is known to write."""
        return query.mode is Mode.SCRIPT or any(one.sql in self._writes for one in query.statements)

    def saw(self, bookmark: str) -> None:
        """An answer or a session has this bookmark."""
        self.newest = max(self.newest, bookmark)

    def learn(self, query: Query, answer: Answer) -> None:
        """Takes in what an answer says about its query's texts."""
        if query.mode is Mode.SCRIPT:
            return
        if not answer.wrote:
            for one in query.statements:
                self._reads.add(one.sql)
            return
        for one in _writers(query.statements, answer):
            self._writes.add(one.sql)
            self._reads.discard(one.sql)


class Texts:
    """The newest texts, at most `bound`; long ones are not worth their memory."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._texts: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, text: str) -> bool:
        return text in self._texts

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, text: str) -> None:
        """Remember it as the newest."""
        if len(text) > limits.REMEMBERED_TEXT_CHARACTERS:
            return
        self._texts[text] = None
        self._texts.move_to_end(text)
        if len(self._texts) > self._bound:
            self._texts.popitem(last=False)

    def discard(self, text: str) -> None:
        """Forget it."""
        self._texts.pop(text, None)


def _writers(statements: Sequence[Statement], answer: Answer) -> list[Statement]:
    """Those that certainly wrote. In a batch only the changes tell; one that changed nothing stays unknown."""
    if len(statements) == 1:
        return list(statements)
    pairs = zip(statements, answer.results, strict=True)
    return [one for one, rows in pairs if rows.meta.changed_db]
