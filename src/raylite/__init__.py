"""raylite: SQLite databases on a Ray cluster."""
