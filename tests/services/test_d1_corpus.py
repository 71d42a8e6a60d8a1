"""What raylite answers to a few hundred requests, beside what the D1 service inside workerd has answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.compat.d1_corpus.compared import ANSWERS, COUNTERS, judged, metas, steady
from tests.compat.d1_corpus.groups import GROUPS
from tests.compat.d1_corpus.request import Request
from tests.services.d1_client import Client, served

DOCUMENT = Path(__file__).parents[2] / "docs/compatibility.md"

Pair = tuple[Request, object, object]
"""A request, raylite's answer, D1's."""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    recorded = msgspec.json.decode(ANSWERS.read_bytes(), type=dict[str, list[object]])
    found: list[Pair] = []

    async def case(client: Client) -> None:
        for name, group in GROUPS.items():
            await client.databases.create(name, "weur", "disabled")
            for request, reference in zip(group, recorded[name], strict=True):
                found.append((request, await _asked(client, name, request), reference))

    served(tmp_path_factory.mktemp("corpus"), case)
    return found


def test_answers_are_d1s_but_for_those_that_are_listed(pairs: list[Pair]) -> None:
    for request, own, reference in pairs:
        if request.differs:
            assert judged(own) != judged(reference), f"this differs no more: {request}"
        else:
            assert judged(own) == judged(reference), request


def test_what_differs_and_how_often_is_documented(pairs: list[Pair]) -> None:
    text = " ".join(DOCUMENT.read_text().split())
    for reason in {request.differs for request, _, _ in pairs} - {""}:
        assert reason in text
    same = sum(not request.differs for request, _, _ in pairs)
    assert f"{same} of {len(pairs)} requests" in text
    for name in COUNTERS:
        counted = [(own[name], reference[name]) for own, reference in _metas(pairs)]
        assert f"`{name}` {sum(a == b for a, b in counted)} of {len(counted)}" in text


def _metas(pairs: list[Pair]) -> Iterator[tuple[dict[str, object], dict[str, object]]]:
    """The meta of each statement that both have run, of what does not differ."""
    for request, own, reference in pairs:
        if not request.differs:
            yield from zip(metas(own), metas(reference), strict=True)


async def _asked(client: Client, database: str, request: Request) -> object:
    answer = await client.post(f"/d1/{database}{request.target}", request.body)
    return steady(answer.content) if answer.status == 200 else {"status": answer.status}
