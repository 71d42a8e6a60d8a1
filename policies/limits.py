"""Every bound in one place: sizes in bytes, times in seconds unless the name says otherwise."""

from __future__ import annotations

# What a caller may send
SQL_BYTES = 1_000_000
PARAMETERS = 32_766
VALUE_BYTES = 64 << 20
ROW_BYTES = VALUE_BYTES + (1 << 20)
"""What SQLite itself accepts: the largest value and what else is in its row."""
SCRIPT_BYTES = 64 << 20
BATCH_STATEMENTS = 10_000
RESULT_ROWS = 1_000_000
RESULT_BYTES = 256 << 20
STATEMENT_SECONDS = 30.0
BUSY_SECONDS = 1.0
"""A statement waits this long for a lock of its file that another connection holds."""
NAME_CHARACTERS = 64

# Relay
FOLLOWERS = 5
FOLLOWER_NODES = 64
"""So many nodes have a follower actor of their own."""
PIECE_BYTES = 1 << 20
APPEND_BYTES = 1 << 20
"""Pieces that travel in one append message; one piece always may."""
PEER_INFLIGHT_BYTES = 8 << 20
REPLICA_AHEAD_PIECES = 64
"""A replica gets pieces together with their confirmation, unless more than so many wait for it."""
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
LONGEST_QUERY_SECONDS = 3600.0
"""The longest timeout that a caller may set."""
ANSWER_GRACE_SECONDS = 0.5
"""Whoever should have answered by a deadline is given up this much later, so that its own error comes first."""
THREAD_GRACE_SECONDS = 5.0
"""A thread waits this much longer than a query may take for the event loop that runs it."""
CONFIRM_SECONDS = 5.0
"""A response waits this long at the output gate, then its outcome is unknown."""
BOOKMARK_WAIT_SECONDS = 1.0
"""A replica waits this long for a bookmark, then asks the primary."""
WAITING_QUERIES = 1024
REMEMBERED_KEYS = 16_384
"""Writes of which a primary remembers key and outcome, for routers that have no answer and send them again;"""
REMEMBERED_KEY_BYTES = 8 << 20
"""fewer if their outcomes are larger than this in all."""
OUTCOME_BYTES = 16 << 10
"""Rows of a write that are larger than this are not part of its outcome."""
READ_ATTEMPT_SECONDS = 5.0
"""A read that an actor does not answer within this time is asked of another one, too."""
MISSED_SECONDS = 2 * LEASE_SECONDS
"""A primary that nobody answers for this long is reported to the registry."""
REMEMBERED_TEXTS = 4096
REMEMBERED_TEXT_CHARACTERS = 10_000

# Import and export
TRANSFERS = 4
"""Exports, and imports, that one actor has under way at a time; more are `Overloaded`."""
TRANSFER_BYTES = 64 << 30
"""The largest file that an import takes."""
TRANSFER_PART_BYTES = 1 << 20
TRANSFER_PARTS = 4
"""Parts that a driver asks for, or sends, before it has the answer to the first of them."""
TRANSFER_CALL_SECONDS = 30.0
"""A driver waits this long for the answer to a part."""
TRANSFER_HOLD_SECONDS = 1.0
"""An actor that has nothing new to say about a transfer answers after this long."""
TRANSFER_IDLE_SECONDS = 60.0
"""A transfer that nobody asks for is given up after this long."""

# HTTP
HTTP_PORT = 8787
HTTP_BODY_BYTES = 32 << 20
HTTP_BODY_SECONDS = 30.0
HTTP_REQUESTS = 512
"""Requests that one gateway has under way at a time; more are refused at once."""
HTTP_CALLERS = 10_000
"""Callers whose rate a gateway remembers, where it has one."""
HTTP_ROUTERS = 10_000
"""Databases of which a gateway remembers which texts read."""
REQUESTS_END_SECONDS = 30
"""Requests that a gateway has begun when it is to end have so long to be answered,"""
DRAIN_SECONDS = 35.0
"""and whoever ends it waits so long."""
HTTP_GRAPHQL_BYTES = 64 << 10
HTTP_COUNTED_TEXTS = 4096
"""Texts of queries, each of one hour and database, of which is counted how often they ran."""
HTTP_PAGE = 1000
"""Databases on a page of a list unless its caller says how many,"""
HTTP_PAGE_MOST = 10_000
"""who may ask for so many."""
HTTP_TRANSFERS = 16
"""Exports, and imports, that one process keeps at a time, files that wait included; one that was fetched gives way."""
HTTP_SPOOL_BYTES = 20 << 30
"""While its files are larger than this in all, it begins no new one."""
HTTP_UPLOAD_BYTES = 5 << 30
"""D1's own limit for a file to import."""
HTTP_POLL_SECONDS = 60.0
"""A transfer that is not asked about for so long is given up, or forgotten if it is over;"""
HTTP_FILE_SECONDS = 3600.0
"""a file that waits to be fetched or applied, or a place for one, after so long; and so long one may take to arrive."""
D1_SQL_BYTES = 100_000
"""D1's own limits, for callers of its protocols alone: one statement,"""
D1_VALUE_BYTES = 2_000_000
"""a value bound to it,"""
D1_REQUEST_SECONDS = 30.0
"""and a whole request, be it a batch."""
TOKENS = 10_000
"""Tokens of one system."""
TOKENS_SECONDS = 2.0
"""A gateway learns of new and revoked tokens so soon."""

# Routing
ROUTING_NEAR_MS = 5.0
"""Round trips that differ by less count as equally near."""
ROUND_TRIP_SAMPLES = 8
"""Of the newest so many, at most PEER_SILENCE_SECONDS apart, the shortest counts."""
ROUTING_LAG_MS = 5000.0
"""A replica whose data is older gets no query."""

# Files
SEGMENT_BYTES = 64 << 20
JOURNAL_BATCH_BYTES = 8 << 20
"""Records that one write and one sync of a follower's journal take together; one submission always may."""
JOURNAL_QUEUE_BYTES = 64 << 20
"""Records that wait for a follower's journal; beyond this a follower takes no request that writes."""
JOURNAL_ZERO_BYTES = 256 << 10
"""Written as zeros ahead of the journal's end: overwriting syncs in about half the time of filling new blocks."""
REJOIN_SECONDS = 5.0
"""A follower that says for so long that it holds a database no more, which it should, joins it anew."""
FOLLOWER_GONE_SECONDS = 600.0
"""A follower that has been silent for so long is replaced by another one, if there is one."""
REPLACING_SECONDS = 600.0
"""Whoever asks for a follower to be replaced waits so long at most for its successor to have caught up."""
HINT_SECONDS = 2.0
"""A primary that no quorum of the followers that it was told of has promised anything for so long asks who is one."""
JOURNAL_DISCARD_SECONDS = 1.0
"""A follower looks so often at most for segments that it needs no more."""
JOURNAL_IDLE_SECONDS = 0.05
"""A journal that has had nothing to write for this long notes on disk up to where it is synced."""
JOURNAL_ROOM_SECONDS = 1.0
"""A follower whose disk has no room looks again after this long."""
FULL_RETRY_SECONDS = 1.0
"""A primary or replica that has no room for what it must write tries again after this long."""
WAL_CHECKPOINT_BYTES = 4 << 20
CHECKPOINT_WAIT_SECONDS = 0.05
"""A replica's checkpoint waits this long for snapshots that need the WAL; nothing is published meanwhile."""
WAL_PAUSE_BYTES = 64 << 20
"""Above this, writes pause until all is confirmed and the WAL is checkpointed to its end."""
DIRECTORY_LOCK_SECONDS = 10.0

# Cold storage
COLD_SEGMENT_BYTES = 16 << 20
"""A segment of the log is cut when this much waits,"""
COLD_SEGMENT_SECONDS = 10.0
"""or when something has waited this long."""
COLD_BLOCK_BYTES = 256 << 10
"""Pieces of a segment that are compressed together; one piece always may."""
COLD_CHUNK_BYTES = 4 << 20
"""Pages of a snapshot that are one object."""
COLD_WAITING_BYTES = 1 << 30
"""A database whose confirmed entries wait for cold storage beyond this takes no writes."""
COLD_LOG_LEAST_BYTES = 16 << 20
"""A shorter log gives no reason for a snapshot, however small the database is."""
COLD_LOG_SEGMENTS = 4096
"""A log of more segments gives a reason, however short it is: each is a request of a restore."""
COLD_OBJECT_BYTES = 256 << 20
"""No larger object is read whole."""
COLD_CALL_SECONDS = 60.0
"""One call to the object store, its own retries included."""
COLD_LIST_SECONDS = 300.0
COLD_HANGING_CALLS = 16
"""Calls past their deadline that have not come back; with so many, no new one is made."""
COLD_READS_AHEAD = 4
COLD_RETRY_SECONDS = 1.0
COLD_LONGEST_RETRY_SECONDS = 60.0
COLD_NEAR_SECONDS = 5.0
"""A copy that took no longer for what was uploaded meanwhile goes on from there with the stream."""
METRICS_SECONDS = 5.0
"""What is measured is exported this often."""
DRILL_SECONDS = 86_400.0
"""A primary restores its database from cold storage alone, and compares, about once in this time."""
COLD_TRIM_SECONDS = 60.0
"""Followers keep what was uploaded within this time, and at most within twice as much: copies that start need it."""
COLD_RUN_SECONDS = 6 * 3600.0
"""A snapshot or a fork that is not complete by then is given up."""
COLD_GRACE_SECONDS = 24 * 3600.0
"""What nothing refers to stays this long: its manifest may be about to be written."""
COLD_RETENTION_SECONDS = 30 * 24 * 3600.0
RECOVERY_EPOCHS = 1 << 16
"""A database that is rebuilt from cold storage alone goes on so far above every epoch that is known: as many may have
been that nobody knows of."""
SEED_SECONDS = 600.0
"""A clone that was laid where a fork's primary looks first goes if none has taken it by then."""
RECOVERY_SECONDS = 3600.0
"""A recovery waits so long for the catalogue, and for what cold storage holds of each database in it."""
COLD_CLOCK_SECONDS = 3600.0
"""The store's clock and ours may differ by this much; beyond it nothing is deleted."""
COLD_LEFTOVER_SECONDS = 3600.0
"""A file in the making that is older belongs to nobody any more."""
COLD_FLUSH_SECONDS = 60.0
"""Whoever wants everything to be in cold storage first waits no longer."""
COLD_KEEP_SECONDS = 60.0
"""How often it is looked at most whether a snapshot is due,"""
COLD_SWEEP_SECONDS = 3600.0
"""and whether something is too old."""
COLD_CACHE_BYTES = 10 << 30
"""Databases as they once were, kept on a node's disk."""

# Connections
FRAME_BYTES = (1 << 20) + PIECE_BYTES + APPEND_BYTES + RESULT_BYTES
HELLO_BYTES = 4096
"""Longest frame before both sides have proven their key."""
HELLO_SECONDS = 5.0
WAITING_HELLOS = 128
"""Connections of one server whose hello is not complete; more are closed at once."""
CONNECTION_REQUESTS = 8192
"""Requests of one side of a connection that wait for their reply."""
WRITE_BUFFER_BYTES = 1 << 20
"""Above this, `drain` waits and replies are held back."""
OUTGOING_BYTES = FRAME_BYTES
"""Above this, a connection takes no new request."""
CLOSE_SECONDS = 1.0
"""A closed connection may use this long to send what is in its buffer."""
ASK_ANOTHER_SECONDS = 0.1
"""Whoever looks for an actor asks again after this long, without giving up what was asked before."""
SPARE_PROCESS_SECONDS = 1.0
"""The actors of a node ask Ray for a spare process so often at most."""
OPENING_SECONDS = 1.0
"""A query that reaches a primary just before it opens waits so long for that at most."""
CONNECT_SECONDS = 3.0
CALL_SECONDS = 10.0
STATUS_SECONDS = 5.0
START_SECONDS = 60.0
"""An actor process is up within this time, or something is wrong."""
WATCH_SECONDS = 20.0

# Hibernation
HIBERNATE_SECONDS = 600.0
"""A database that nobody has asked for so long has no process any more, unless the system says otherwise."""
WOKEN_AT_ONCE = 4
"""For each node, so many databases are being woken at the same time at most; others wait for their turn."""
SETTLE_SECONDS = 30.0
"""A primary that is to end confirms and uploads the rest within this time, or goes on."""
SETTLED_SECONDS = 30.0
"""One that has given its reign up for that, and is not ended, starts anew."""

# Supervision
REPLACE_SECONDS = 3 * LEASE_SECONDS
"""A primary that was just replaced is given this long before it is looked at again."""
REPORTED_DATABASES = 1000
"""Databases that one report of a follower names."""
DELETED_SECONDS = 30.0
"""After that long nothing of a deleted database can be starting any more: followers are told of it once again."""
REPLACED_AT_ONCE = 16
NODE_SECONDS = 20.0
"""A node that does not say within this time what is on its disk is taken for absent."""
REGISTRY_WAIT_SECONDS = LEASE_SECONDS / 2
"""Whoever waits for the registry for this long asks whether it lives;"""
REGISTRY_SECONDS = LEASE_SECONDS
"""if it does not say so in this time, and no follower gives it a lease, it hangs or is cut off."""
SPARE_SECONDS = 60.0
"""With fewer than five followers on live nodes for this long, new ones are started for new databases."""
LOOK_SECONDS = 3.0
"""The registry looks this often for nodes that have come, and whether the routing actor has the table."""
HEALTH_SECONDS = 2.0
"""The routing actor asks all copies how they are about this often,"""
HEALTH_PAUSE_SECONDS = 0.02
"""but pauses this long for each, so that many databases cost no more than few."""
HEALTH_ASKED_AT_ONCE = 16
"""Databases whose copies are asked at the same time: silent ones must not hold up the others."""
HEALTH_SAMPLES = 32
HEALTH_SILENCES = 3
"""A replica that was silent so many times in a row is reported to the registry."""

assert LEASE_DRIFT_SECONDS < LEASE_SECONDS / 2
assert HEARTBEAT_SECONDS * 4 < LEASE_SECONDS
assert PIECE_BYTES <= APPEND_BYTES <= PEER_INFLIGHT_BYTES <= WINDOW_BYTES
assert READ_BYTES >= PIECE_BYTES
assert BOOKMARK_WAIT_SECONDS < CONFIRM_SECONDS < QUERY_SECONDS
assert WAL_CHECKPOINT_BYTES < WAL_PAUSE_BYTES
assert UNCONFIRMED_ENTRIES < CONNECTION_REQUESTS
assert WRITE_BUFFER_BYTES <= PEER_INFLIGHT_BYTES <= OUTGOING_BYTES
assert COLD_BLOCK_BYTES + PIECE_BYTES < COLD_SEGMENT_BYTES < COLD_WAITING_BYTES
assert COLD_RUN_SECONDS * 2 < COLD_GRACE_SECONDS <= COLD_RETENTION_SECONDS
