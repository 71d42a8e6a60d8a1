"""Files: one SQLite database, its WAL and WAL-index, the follower's journal."""
