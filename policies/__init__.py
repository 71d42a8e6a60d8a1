"""Values and decisions: pure, without Ray, SQLite, asyncio, time or random."""
