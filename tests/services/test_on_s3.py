"""What is tested of cold storage in a folder, from the first upload to a fork, on a server that speaks S3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.services import test_archiving, test_forks, test_trimming
from tests.services.test_archiving import ColdSystem
from tests.unit.s3_server import Server

from raylite.policies import limits

Case = Callable[[Path], None]

CASES: list[Case] = [
    test_archiving.test_what_is_confirmed_comes_to_cold_storage_and_can_be_restored_from_it_alone,
    test_archiving.test_the_past_is_read_as_it_was_and_cannot_be_written,
    test_archiving.test_a_restore_is_a_write_that_replicas_and_sessions_follow_and_that_can_be_undone,
    test_forks.test_a_fork_is_kept_in_cold_storage_by_itself_and_can_be_forked_again,
    test_trimming.test_a_primary_without_files_is_rebuilt_from_cold_storage_and_what_followers_still_hold,
    test_trimming.test_a_follower_that_was_away_begins_where_the_others_do,
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture(autouse=True)
def bucket(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ColdSystem, "address", server.open(monkeypatch).address)
    monkeypatch.setattr(limits, "COLD_TRIM_SECONDS", 0.1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.removeprefix("test_"))
def test_on_s3(case: Case, tmp_path: Path) -> None:
    case(tmp_path)
    assert not (tmp_path / "cold").exists()
