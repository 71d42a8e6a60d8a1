"""Replacing a follower by command: in which databases, and that those that are asleep are woken for it."""

from __future__ import annotations

import pytest

import raylite
from raylite.actors import handles
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.quorum import Member, Members
from raylite.router.followers import replace_follower


def entry(name: str, *followers: int, asleep: bool = False) -> DatabaseEntry:
    members = Members(tuple(Member(f"follower:{one}", "aa") for one in followers)) if followers else None
    return DatabaseEntry(f"id-{name}", name, members, "enam", (), "disabled", 0, None, asleep)


ENTRIES = [
    entry("awake", 0, 1, 2),
    entry("awake elsewhere", 1, 2, 4),
    entry("asleep", 0, 1, 2, asleep=True),
    entry("asleep elsewhere", 1, 2, 4, asleep=True),
    entry("only begun"),
]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What was asked of actors; primaries replace follower:0 by follower:3 where it is a member."""
    made: list[tuple[object, ...]] = []

    async def call(actor: str, method: str, *arguments: object, seconds: float = 10.0) -> object:
        made.append((actor, method, *arguments))
        if method == "databases":
            return ENTRIES
        return "" if "elsewhere" in actor else "follower:3"

    monkeypatch.setattr(handles, "call", call)
    return made


def test_all_that_may_have_it_are_asked_and_those_asleep_are_woken_first(
    calls: list[tuple[object, ...]],
) -> None:
    assert replace_follower("follower:0") == {
        "_registry": "follower:3",
        "awake": "follower:3",
        "asleep": "follower:3",
    }
    asked = ("replace_follower", "follower:0", "")
    assert calls[1:] == [
        ("registry", *asked),
        ("registry", "wake", "awake"),
        ("primary:awake", *asked),
        ("registry", "wake", "awake elsewhere"),
        ("primary:awake elsewhere", *asked),
        ("registry", "wake", "asleep"),
        ("primary:asleep", *asked),
    ]


def test_what_is_no_followers_name_is_refused_before_anything_is_asked(
    calls: list[tuple[object, ...]],
) -> None:
    for name, other in (("primary:a", ""), ("follower:x", ""), ("follower:0", "registry")):
        with pytest.raises(raylite.Error, match="follower:0, follower:1 and so on"):
            replace_follower(name, other)
    assert calls == []
