"""Options that most commands have."""

from __future__ import annotations

from pathlib import Path

import click

data_option = click.option(
    "--data", "data_dir", type=click.Path(path_type=Path), default=None, help="Data directory (~/.raylite)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
timestamp_option = click.option(
    "--timestamp", default=None, help="A time, as 2026-01-31T12:00:00Z or seconds since 1970."
)
bookmark_option = click.option("--bookmark", default=None, help="A bookmark.")
