"""A change of members, cut at every write to any follower's journal: the power of all machines fails there.

The real cores speak to each other, each follower stores what it must in a real journal on a disk in memory. After each
cut the journals are opened anew, and another primary takes over, who was told of the first members only. It has all
that was confirmed, follows the newest members that its log names, and confirms an entry of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.scenarios import seats
from tests.scenarios.names import DATABASE, Entries, member_of, members_of
from tests.scenarios.script import Command
from tests.scenarios.world import World
from tests.unit.log_disk import Disk, PowerLoss
from tests.unit.log_model import opened

from raylite.actors.core import follower
from raylite.actors.core.leader import Confirmed
from raylite.actors.core.primary import PrimaryCore
from raylite.actors.core.store import Store, StoreFounded
from raylite.actors.storage.log_file import Journal
from raylite.actors.storage.log_records import Record, StoreJoined
from raylite.policies.bookmark import Bookmark

OLD, NEW = "a,b,c", "b,c,d"
EVERYONE = ("a", "b", "c", "d")
CHANGE = f"""
leader p epoch=1 at=0/0 members={OLD} directory=one
p connected a
p connected b
p connected c
p propose 1/1
*->*
p replayed
p propose 1/2*2
*->*
p change {NEW}
p connected d
*->*
p propose 1/3{{{OLD}|{NEW}}}
*->*
p propose 1/4
*->*
p propose 1/5{{{NEW}}}
*->*
p propose 1/6
*->*
"""


class Stored(World):
    """A world whose followers have journals. told: all that a primary has confirmed, in order."""

    def __init__(self, disks: dict[str, Disk], entries: Entries | None = None) -> None:
        super().__init__()
        self.entries = entries or self.entries
        self.told: list[Bookmark] = []
        self.journals = {name: opened(disk) for name, disk in disks.items()}
        for name, journal in self.journals.items():
            self.cores[name] = started(journal)

    def play(self, text: str) -> None:
        for line in text.strip().splitlines():
            self.run(Command.parse(line))

    def _carry_out(self, name: str, effects: Sequence[seats.Effect], asker: str = "") -> None:
        """What a follower stores is synced before its answer leaves."""
        self.told += [one.place for one in effects if isinstance(one, Confirmed)]
        if name in self.journals:
            changes = [one for one in effects if not isinstance(one, follower.Reply | follower.Load)]
            store(self.journals[name], changes)
        super()._carry_out(name, effects, asker)


def store(journal: Journal, changes: Sequence[object]) -> None:
    records = [Record(DATABASE, change) for change in changes if isinstance(change, Store)]
    assert len(records) == len(changes)
    if records:
        journal.write(records)
        journal.sync()


def started(journal: Journal) -> follower.FollowerLog:
    """A follower's core as it starts with what its journal has."""
    found = journal.recovered[DATABASE]
    assert not found.gave_up, "a power loss is no damage"
    return follower.FollowerLog(
        DATABASE, found.incarnation, found.index,
        promised=found.promised, confirmed=found.confirmed, started=0.0,
    )  # fmt: skip


def founded() -> dict[str, Disk]:
    """The disks of four followers, of which three are the first members."""
    disks = {name: Disk(seed) for seed, name in enumerate(EVERYONE)}
    for name, disk in disks.items():
        journal = opened(disk)
        joined = Record(DATABASE, StoreJoined(member_of(name).incarnation))
        base = [Record(DATABASE, StoreFounded(members_of(OLD)))] if name in OLD else []
        journal.write([joined, *base])
        journal.sync()
        journal.close()
        disk.steps = 0
    return disks


def taken_over(disks: dict[str, Disk], entries: Entries) -> Stored:
    """Another primary, until it has confirmed an entry."""
    world = Stored(disks, entries)
    world.play(f"primary q members={OLD} directory=two")
    for _ in range(10):
        world.play("wait 3\nq tick\na tick\nb tick\nc tick\nd tick\n*->*")
    reign = world.cores["q"]
    assert isinstance(reign, PrimaryCore)
    assert reign.leader is not None, "nobody takes over"
    window = reign.leader.window
    world.play("\n".join(f"q connected {name}" for name in EVERYONE if member_of(name) in reign.contacts))
    world.play(f"*->*\nq propose {reign.epoch}/{window.place(window.end).sequence + 1}z\n*->*")
    return world


def check(disks: dict[str, Disk], before: Stored) -> None:
    for disk in disks.values():
        disk.lose_power()
    world = taken_over(disks, before.entries)
    reign = world.cores["q"]
    assert isinstance(reign, PrimaryCore)
    assert reign.leader is not None
    last = next(name for name in world.entries.places if name.endswith("z"))
    log = [piece.place for piece in world.entries.path(last)]
    assert set(before.told) <= set(log), "a confirmed entry is gone"
    assert world.told[-1] == log[-1], "the next primary confirms nothing"
    named = [piece.members for piece in world.entries.path(last) if piece.members]
    assert reign.leader.members == (named[-1] if named else members_of(OLD))


def test_a_change_of_members_survives_the_loss_of_all_power_at_every_write() -> None:
    whole = founded()
    before = Stored(whole)
    before.play(CHANGE)
    assert before.entries.places["1/6"] in before.told
    reign = before.cores["p"]
    assert isinstance(reign, PrimaryCore)
    assert reign.leader is not None
    assert reign.leader.members == members_of(NEW)
    cuts = [(name, step) for name, disk in whole.items() for step in range(1, disk.steps + 1)]
    assert len(cuts) > 40
    for name, step in cuts:
        disks = founded()
        disks[name].lose_at = step
        world: Stored | None = None
        try:
            world = Stored(disks)
            world.play(CHANGE)
        except PowerLoss:
            pass
        else:
            raise AssertionError(f"step {step} of {name} did not come")
        if world is not None:
            check(disks, world)
