"""Every bound in one place: sizes in bytes, times in seconds unless the name says otherwise."""

from __future__ import annotations

# What a caller may send
SQL_BYTES = 1_000_000
PARAMETERS = 32_766
VALUE_BYTES = 64 << 20
SCRIPT_BYTES = 512 << 20
BATCH_STATEMENTS = 10_000
RESULT_ROWS = 1_000_000
RESULT_BYTES = 256 << 20
STATEMENT_SECONDS = 30.0
NAME_CHARACTERS = 64

# Relay
FOLLOWERS = 5
PIECE_BYTES = 1 << 20
APPEND_BYTES = 1 << 20
"""Pieces that travel in one append message; one piece always may."""
PEER_INFLIGHT_BYTES = 8 << 20
WINDOW_BYTES = 32 << 20
"""Recent pieces that a leader keeps in memory for peers that are behind."""
UNCONFIRMED_ENTRIES = 4096
READ_BYTES = 4 << 20
LEASE_SECONDS = 2.0
LEASE_DRIFT_SECONDS = 0.2
HEARTBEAT_SECONDS = 0.3
PEER_SILENCE_SECONDS = 1.5
"""A follower that has not answered for this long does not count as answering."""
RETRY_SECONDS = 0.3
PROMISE_SECONDS = 2 * LEASE_SECONDS
REMEMBERED_PLACES = 65_536
"""Entries of which a copy remembers the digest, to judge bookmarks exactly."""

# Queries
QUERY_SECONDS = 30.0
CONFIRM_SECONDS = 5.0
"""A response waits this long at the output gate, then its outcome is unknown."""
BOOKMARK_WAIT_SECONDS = 1.0
"""A replica waits this long for a bookmark, then asks the primary."""
WAITING_QUERIES = 1024

# Files
SEGMENT_BYTES = 64 << 20
WAL_CHECKPOINT_BYTES = 4 << 20
WAL_PAUSE_BYTES = 64 << 20
"""Above this, writes pause until all is confirmed and the WAL is checkpointed to its end."""
DIRECTORY_LOCK_SECONDS = 10.0

# Connections
FRAME_BYTES = (1 << 20) + PIECE_BYTES + APPEND_BYTES + RESULT_BYTES
HELLO_SECONDS = 5.0
CONNECT_SECONDS = 3.0
CALL_SECONDS = 10.0

assert LEASE_DRIFT_SECONDS < LEASE_SECONDS / 2
assert HEARTBEAT_SECONDS * 4 < LEASE_SECONDS
assert PIECE_BYTES <= APPEND_BYTES <= PEER_INFLIGHT_BYTES <= WINDOW_BYTES
assert READ_BYTES >= PIECE_BYTES
assert BOOKMARK_WAIT_SECONDS < CONFIRM_SECONDS < QUERY_SECONDS
assert WAL_CHECKPOINT_BYTES < WAL_PAUSE_BYTES
