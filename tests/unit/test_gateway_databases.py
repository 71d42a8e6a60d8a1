"""What a gateway says of changes whose answer it does not get."""

from __future__ import annotations

import pytest

from raylite.policies.errors import DatabaseExists, OutcomeUnknown, Unreachable
from raylite.router.gateway_databases import changing
from raylite.router.http.envelope import UNCERTAIN_STATUS, failed


def test_a_change_without_an_answer_is_none_that_clients_repeat() -> None:
    with pytest.raises(OutcomeUnknown, match="shop: no answer") as unknown, changing("shop"):
        raise Unreachable("registry", "no answer within 10 s")
    assert failed(unknown.value).status_code == UNCERTAIN_STATUS


def test_what_the_registry_refuses_stays_what_it_is() -> None:
    with pytest.raises(DatabaseExists), changing("shop"):
        raise DatabaseExists("shop")
