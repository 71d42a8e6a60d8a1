"""PEP 249 over raylite; users import it as `raylite.dbapi` (docs/python.md)."""
