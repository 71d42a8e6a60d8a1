"""Plays the text files of this folder; `RAYLITE_REWRITE=1` writes what is printed into them instead of comparing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.scenarios.script import played
from tests.scenarios.world import World

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*/*.txt"))


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(HERE).with_suffix("")) for path in FILES])
def test_the_cores_answer_as_the_scenario_says(path: Path) -> None:
    text = path.read_text()
    printed = played(text, World().run)
    if os.environ.get("RAYLITE_REWRITE"):
        path.write_text(printed)
    assert printed == path.read_text()


def test_there_are_scenarios_of_every_core() -> None:
    folders = {path.parent.name for path in FILES}
    assert folders == {"follower", "gate", "leader", "replica", "takeover", "together"}


def test_what_is_printed_takes_the_place_of_what_was_expected() -> None:
    text = "# Prose.\n\nlog 0/0 1/1\nfollower a at=1/1\nshow a\n----\nanything\n"
    said = "a: log 1/1 confirmed 0/0 promised 0 lease 0"
    assert played(text, World().run) == text.replace("anything", said)


def test_commands_without_a_rule_are_refused() -> None:
    with pytest.raises(ValueError, match="no ---- beneath"):
        played("follower a\n", World().run)
