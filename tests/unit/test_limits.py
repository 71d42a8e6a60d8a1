"""Bounds that must fit each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from raylite.policies import limits
from raylite.policies.placement import tolerated_nodes
from raylite.policies.system import Site


@pytest.mark.parametrize("name", [name for name in vars(limits) if name.isupper()])
def test_a_bound_is_a_positive_number(name: str) -> None:
    assert vars(limits)[name] > 0


def test_every_bound_has_a_name_of_its_own() -> None:
    tree = ast.parse(Path(limits.__file__).read_text())
    targets = [one for node in tree.body if isinstance(node, ast.Assign) for one in node.targets]
    names = [one.id for one in targets if isinstance(one, ast.Name)]
    assert len(names) > 50
    assert len(set(names)) == len(names)


def test_a_follower_notices_silence_only_after_several_heartbeats() -> None:
    assert limits.PEER_SILENCE_SECONDS > 3 * limits.HEARTBEAT_SECONDS


def test_a_frame_holds_the_largest_value_statement_and_result() -> None:
    assert limits.FRAME_BYTES > limits.RESULT_BYTES + limits.SQL_BYTES
    assert limits.FRAME_BYTES > limits.VALUE_BYTES


def test_five_followers_survive_two() -> None:
    assert tolerated_nodes([Site(str(n), str(n), "enam") for n in range(limits.FOLLOWERS)]) == 2
