"""A journal under power losses, kills, failed syncs and full disks at every step, against a slow model.

After every start the journal must hold a prefix of what was written: all that was synced, nothing half done.
"""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.log_disk import Disk, PowerLoss
from tests.unit.log_model import State, Writer, apply, copied, observe, opened, trimmed

from raylite.actors.storage.log_checkpoint import Checkpoint
from raylite.actors.storage.log_file import Journal
from raylite.actors.storage.log_records import Location, Record
from raylite.actors.storage.log_state import Recovered
from raylite.policies.errors import StorageFailed, StorageFull


class Life:
    """One process after another on one disk, and what each of them must find."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.disk = Disk(seed)
        self.certain: State = {}
        self.uncertain: list[Record] = []
        self._stored: dict[str, Recovered] = {}
        self._written: list[tuple[Record, Location]] = []
        self._reached = 0

    def start(self) -> Journal:
        """Opens the journal; it must hold `certain` and a prefix of `uncertain`, and then that is certain."""
        journal = opened(self.disk)
        self._stored, self._written, self._reached = journal.recovered, [], journal.started_in
        found = observe(journal)
        state = copied(self.certain)
        reached = [copied(state)]
        for record in self.uncertain:
            apply(state, record)
            reached.append(copied(state))
        assert found in [trimmed(one) for one in reached]
        self.certain, self.uncertain = found, []
        return journal

    def work(self, journal: Journal, batches: int) -> None:
        """Writes and syncs at random."""
        writer = Writer(self.random, copied(self.certain))
        for record in self.uncertain:
            apply(writer.state, record)
        for _ in range(batches):
            before = copied(writer.state)
            try:
                self._write(journal, writer.batch())
            except StorageFull:
                writer.state = before
            if self.random.random() < 0.7:
                journal.sync()
                self._synced()
            if self.random.random() < 0.3:
                self._mark(journal)
            if self.random.random() < 0.2:
                with suppress(StorageFull):
                    self._discard(journal)
            journal.prepare()

    def _write(self, journal: Journal, batch: list[Record]) -> None:
        self.uncertain += batch  # before the write: it may be there even if that does not return
        try:
            locations = journal.write(batch)
        except StorageFull:
            del self.uncertain[-len(batch) :]
            raise
        self._written += zip(batch, locations, strict=True)

    def _mark(self, journal: Journal) -> None:
        needed = journal.unsynced or journal.unmarked
        journal.mark()
        if needed:
            self._synced()

    def _synced(self) -> None:
        for record in self.uncertain:
            apply(self.certain, record)
        self.uncertain = []
        for record, location in self._written:
            state = self._stored.setdefault(record.database, Recovered(record.database))
            state.apply(record.change, location)
            self._reached = location.segment
        self._written = []

    def _discard(self, journal: Journal) -> None:
        """Segments that nobody needs go, whatever is written and not yet synced."""
        journal.discard(Checkpoint.of(self._stored.values(), self._reached))


def live(life: Life, batches: int) -> None:
    """One life of a process, ended by whatever was planned for it."""
    with suppress(PowerLoss, StorageFailed, OSError):
        life.work(life.start(), batches)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32), st.lists(st.tuples(st.sampled_from("LKFE"), st.integers(1, 60)), max_size=6))
def test_whatever_ends_a_life_all_that_was_synced_is_there_at_the_next(
    seed: int, ends: list[tuple[str, int]]
) -> None:
    life = Life(seed)
    for end, steps in ends:
        if end == "L":
            life.disk.lose_at = life.disk.steps + steps
        if end in "FE":
            life.disk.failing = {life.disk.steps + steps}
        live(life, batches=25)
        if end == "L" or life.random.random() < 0.2:
            life.disk.lose_power()
        else:
            life.disk.kill()
            if end == "E":
                life.disk.evict()
    life.start()


@pytest.mark.parametrize("seed", range(4))
def test_power_may_fail_at_every_single_step(seed: int) -> None:
    whole = Life(seed)
    live(whole, batches=12)
    for step in range(1, whole.disk.steps + 1):
        life = Life(seed)
        life.disk.lose_at = step
        live(life, batches=12)
        life.disk.lose_power()
        for _ in range(2):  # the second start finds what the first one made of it
            again = life.start()
            del again
            life.disk.lose_power()


@pytest.mark.parametrize("seed", range(4))
def test_every_single_call_to_the_disk_may_fail_and_what_a_start_then_reports_survives_a_power_loss(
    seed: int,
) -> None:
    whole = Life(seed)
    live(whole, batches=12)
    for step in range(1, whole.disk.steps + 1):
        life = Life(seed)
        life.disk.failing = {step}
        live(life, batches=12)
        life.disk.kill()
        life.start()
        life.disk.lose_power()
        life.start()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(60_000, 200_000))
def test_a_disk_that_fills_up_loses_nothing_and_the_journal_goes_on_once_there_is_room(
    seed: int, capacity: int
) -> None:
    life = Life(seed)
    life.disk.capacity = capacity
    life.work(life.start(), 40)
    life.disk.capacity = 1 << 40
    life.disk.lose_power()
    journal = life.start()
    life.work(journal, 5)
