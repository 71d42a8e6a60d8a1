"""Cold storage: a database's log and snapshots in an object store. No Ray here."""
