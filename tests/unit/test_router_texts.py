"""What a router believes of a text: only what an answer said of it."""

from __future__ import annotations

from tests.unit.router_world import DATABASE, READ, WRITE, World, meta, query

from raylite.policies import limits
from raylite.policies.query import Answer, Mode, Query, Rows, Statement
from raylite.router.texts import Learned, Texts

OTHER = "DELETE FROM t WHERE 0"


def learned(*queries: Query) -> Learned:
    """After good answers to these queries."""
    world, found = World(), Learned()
    for one in queries:
        found.learn(one, world.answer(one))
    return found


def wrote(*changed: bool) -> Answer:
    rows = [Rows((), [], meta(changes=0, changed_db=one)) for one in changed]
    return Answer(rows, "", "primary:shop", "enam", True, True)


def test_a_text_is_neither_before_it_was_answered() -> None:
    assert not Learned().reads(query(READ))
    assert not Learned().writes(query(READ))


def test_a_text_is_what_its_answer_said() -> None:
    found = learned(query(READ), query(WRITE))
    assert (found.reads(query(READ)), found.writes(query(READ))) == (True, False)
    assert (found.reads(query(WRITE)), found.writes(query(WRITE))) == (False, True)


def test_a_batch_reads_if_all_of_it_does_and_writes_if_any_does() -> None:
    found = learned(query(READ, "SELECT 2"), query(WRITE))
    assert found.reads(query("SELECT 2", READ))
    assert found.writes(query(READ, WRITE))
    assert not found.reads(query(READ, WRITE))
    assert not found.reads(query(READ, OTHER))
    assert not found.writes(query(READ, OTHER))


def test_of_a_batch_that_wrote_only_what_changed_something_is_known_to_write() -> None:
    found = Learned()
    found.learn(query(READ, WRITE, OTHER), wrote(False, True, False))
    assert found.writes(query(WRITE))
    assert not found.writes(query(OTHER))
    assert not found.reads(query(OTHER))
    assert not found.reads(query(READ))


def test_a_write_that_changes_nothing_is_a_write() -> None:
    found = Learned()
    found.learn(query(OTHER), wrote(False))
    assert found.writes(query(OTHER))


def test_a_text_that_wrote_is_no_read_any_more() -> None:
    found = learned(query(READ))
    found.learn(query(READ), wrote(True))
    assert not found.reads(query(READ))


def test_a_script_is_a_write_and_teaches_nothing() -> None:
    script = Query(DATABASE, Mode.SCRIPT, (Statement(READ),), "", 30.0)
    found = learned(script, query(READ))
    assert found.writes(script)
    assert not found.reads(script)


def test_the_newest_texts_are_remembered_and_long_ones_are_not() -> None:
    texts = Texts(2)
    for text in ("a", "b", "a", "c", "x" * (limits.REMEMBERED_TEXT_CHARACTERS + 1)):
        texts.add(text)
    assert ("a" in texts, "b" in texts, "c" in texts, len(texts)) == (True, False, True, 2)
