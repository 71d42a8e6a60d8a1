"""What a session has seen, and so what its next query must see.

The guarantee is sequential consistency: the bookmark only rises, every query carries it, and whoever answers
has seen at least that much. Without a session every query goes to the primary.
"""

from __future__ import annotations

import msgspec

from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import BookmarkError
from raylite.policies.query import Query

FIRST_UNCONSTRAINED = "first-unconstrained"
FIRST_PRIMARY = "first-primary"


class SessionState(msgspec.Struct, frozen=True):
    """One session between two queries.

    bookmark: the highest seen, None before any; needs_primary: the next query is answered by the primary only;
    stays: so is every later one.
    """

    bookmark: Bookmark | None = None
    needs_primary: bool = False
    stays: bool = False

    def stamp(self, query: Query) -> Query:
        """The query with what this session demands of whoever answers it."""
        text = str(self.bookmark) if self.bookmark else ""
        return msgspec.structs.replace(query, bookmark=text, primary=self.needs_primary)

    def advance(self, text: str) -> SessionState:
        """The session after an answer or an error that came with this bookmark ("": with none, nothing changes).

        Raises `BookmarkError`, for a malformed bookmark or one of another database.
        """
        if self.stays or not text:
            return self
        seen = Bookmark.parse(text)
        if self.bookmark is None:
            return SessionState(seen)
        if seen.history != self.bookmark.history:
            raise BookmarkError(text, f"is of another database than {self.bookmark}")
        return SessionState(max(seen, self.bookmark))

    def see(self, text: str) -> SessionState:
        """The session, whose next query must see this bookmark, too; who answers is as before. Raises as `advance`."""
        return msgspec.structs.replace(self.advance(text), needs_primary=self.needs_primary)


PRIMARY_ONLY = SessionState(needs_primary=True, stays=True)
"""The state of whoever has no session."""


def begin(constraint: str = FIRST_UNCONSTRAINED) -> SessionState:
    """A new session: "first-unconstrained", "first-primary", or the bookmark that its first query must see.

    Raises `BookmarkError` for anything else.
    """
    if constraint == FIRST_UNCONSTRAINED:
        return SessionState()
    if constraint == FIRST_PRIMARY:
        return SessionState(needs_primary=True)
    try:
        return SessionState(Bookmark.parse(constraint))
    except BookmarkError as error:
        reason = f"is malformed, and neither {FIRST_UNCONSTRAINED!r} nor {FIRST_PRIMARY!r}"
        raise BookmarkError(error.bookmark, reason) from None
