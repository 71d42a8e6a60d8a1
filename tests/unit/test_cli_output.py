"""What the command line shows fits a narrow terminal."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from raylite.policies.bookmark import Bookmark
from raylite.policies.status import ActorStatus
from raylite.router.cli_output import actors, show
from raylite.router.own_stdout import kept_from_others

PLACE = str(Bookmark(12, 34_567, b"four", bytes(12)))
STATUSES = [
    ActorStatus("registry", "primary", "enam", 4_194_304, "open", 12, PLACE, None, 4_120, 0, 5, 3),
    *(ActorStatus(f"follower:{index}", "follower", "weur", 100 + index, "storing", databases=3) for index in range(5)),
    ActorStatus(
        "primary:northwind", "primary", "enam", 4_194_304, "taking over", 12, PLACE, None, 4_194_304, 0, 2, 3,
        ("follower:3 does not answer", "follower:4 has no room left on its disk"),
    ),
    ActorStatus("replica:northwind:weur", "replica", "weur", 41_943, "serving", 12, PLACE, 1234.56, 123_456_789),
    ActorStatus("replica:northwind:apac", "replica", "apac", 41_944, "catching up", 0, "", None, 0),
]  # fmt: skip


def shown(width: int, statuses: list[ActorStatus] = STATUSES) -> list[str]:
    text = StringIO()
    Console(file=text, width=width).print(actors(statuses))
    return text.getvalue().splitlines()


def test_all_actors_fit_into_80_columns_one_line_each() -> None:
    lines = shown(80)
    assert all(len(line.rstrip()) <= 80 for line in lines)
    for status in STATUSES:
        assert sum(line.startswith(f"{status.actor} ") for line in lines) == 1
    (line,) = [line for line in lines if line.startswith("replica:northwind:weur")]
    assert line.split() == [
        "replica:northwind:weur",
        "weur",
        "41943",
        "serving",
        "12.34567",
        "1234.6",
        "123.5",
    ]


def test_what_is_wrong_is_told_whole_below() -> None:
    text = " ".join(shown(80))
    assert "primary:northwind: follower:3 does not answer" in text
    assert "primary:northwind: follower:4 has no room left on its disk" in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_long_names_are_folded_and_nothing_is_cut_off(width: int) -> None:
    name = "primary:" + "x" * 64
    text = "".join(line.strip() for line in shown(width, [ActorStatus(name, "primary", "enam", 7, "open")]))
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert text.count("x") == 64


def test_what_ray_prints_meanwhile_is_not_among_what_a_command_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with kept_from_others():
        print("(raylet) a node is dead")
        show({"answer": 42}, as_json=True)
    show({"answer": 43}, as_json=True)
    printed = capsys.readouterr()
    assert "raylet" in printed.err
    assert [line for line in printed.out.split() if line.strip("{}")] == [
        '"answer":',
        "42",
        '"answer":',
        "43",
    ]
