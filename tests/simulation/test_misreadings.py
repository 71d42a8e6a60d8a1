"""Each misreading of the protocol is switched on, and the checker that is named for it must notice.

Scripts steer the faults to where the defect shows; without a misreading they must be clean.
"""

from __future__ import annotations

import msgspec
import pytest
from tests.simulation import mutant_logs, mutant_reigns, steering
from tests.simulation.mutant_logs import holding, promising
from tests.simulation.mutant_reigns import led_by
from tests.simulation.steering import steered

from raylite.actors.core.simulation.checkers import Checker
from raylite.actors.core.simulation.cores import PRODUCTION, Cores
from raylite.actors.core.simulation.faults import Plan
from raylite.actors.core.simulation.run import DEFAULT_PLAN, run

MOST_SEEDS = 60
CLEAN_SEEDS = 3

BLIND = DEFAULT_PLAN
DIVERGENCE = steered(steering.divergence(1))
OVERTAKEN = steered(steering.overtaken)
ORPHANED = steered(steering.orphaned_tail)
SLEEP = steered(steering.long_sleep)


class Misreading(msgspec.Struct, frozen=True):
    """What is misread, where, how a run is led there, and who must notice."""

    what: str
    cores: Cores
    plan: Plan
    checker: str


MISREADINGS = [
    Misreading(
        "a follower acknowledges the highest sequence that it has",
        Cores(follower=mutant_logs.AcknowledgesItsTail, primary=led_by(mutant_reigns.CountsSequences)),
        OVERTAKEN,
        Checker.CONFIRMED,
    ),
    Misreading(
        "every matching append cuts what follows its previous",
        Cores(follower=holding(mutant_logs.CutsWhatFollows)),
        BLIND,
        Checker.KEPT,
    ),
    Misreading(
        "the confirmed mark is taken as sent",
        Cores(follower=holding(mutant_logs.MarksAsSent), primary=led_by(mutant_reigns.TalksMuch)),
        DIVERGENCE,
        Checker.KEPT,
    ),
    Misreading(
        "the confirmed mark is clamped to the own tail",
        Cores(follower=holding(mutant_logs.MarksUpToItsTail), primary=led_by(mutant_reigns.TalksMuch)),
        DIVERGENCE,
        Checker.CONFIRMED,
    ),
    Misreading(
        "a promise returns the promised epoch as the tail's epoch",
        Cores(follower=mutant_logs.PromisesTheNewEpochAsItsTail),
        steered(steering.short_reign),
        Checker.ORDER,
    ),
    Misreading(
        "a higher append does not raise the promise",
        Cores(follower=mutant_logs.PromisesNothingByAppend),
        steered(steering.two_reigns),
        Checker.ORDER,
    ),
    Misreading(
        "the digest leaves the epoch out",
        Cores(
            describe=mutant_logs.without_epoch,
            follower=mutant_logs.FollowerWithoutEpoch,
            replica=mutant_logs.ReplicaWithoutEpoch,
        ),
        steered(steering.same_beginning),
        Checker.CONFIRMED,
    ),
    Misreading(
        "an empty disk answers a promise",
        Cores(follower_process=mutant_logs.AnswersFromAnEmptyDisk),
        steered(steering.lost_disk),
        Checker.ORDER,
    ),
    Misreading(
        "an older epoch's entries count before the first entry of the own one",
        Cores(primary=led_by(mutant_reigns.CountsOldEntries)),
        ORPHANED,
        Checker.CONFIRMED,
    ),
    Misreading(
        "an adopted tail is written into the primary's file before it is confirmed",
        Cores(primary=mutant_reigns.WritesAdoptedTailIntoFile),
        ORPHANED,
        Checker.VISIBLE,
    ),
    Misreading("reads pass the gate", Cores(primary=mutant_reigns.SkipsGateForReads), BLIND, Checker.VISIBLE),
    Misreading(
        "errors pass the gate",
        Cores(primary_process=mutant_reigns.SkipsGateForErrors),
        BLIND,
        Checker.VISIBLE,
    ),
    Misreading("the lease is not checked", Cores(primary=mutant_reigns.ChecksNoLease), SLEEP, Checker.LINEAR),
    Misreading(
        "the lease counts from the acknowledgement",
        Cores(primary=led_by(mutant_reigns.LeasedFromTheAnswer)),
        SLEEP,
        Checker.LEASE,
    ),
    Misreading(
        "the lease is forgotten at a follower's restart",
        Cores(follower=promising(mutant_logs.ForgetsItsLease)),
        steered(steering.restarts_at_once),
        Checker.LEASE,
    ),
    Misreading(
        "an acknowledgement counts for the lease that did not renew it",
        Cores(follower=promising(mutant_logs.ClaimsToRenew)),
        steered(steering.lost_disk),
        Checker.LEASE,
    ),
    Misreading(
        "the lease needs no quorum of each set",
        Cores(primary=led_by(mutant_reigns.AsksOneSetOnly)),
        steered(steering.torn_change),
        Checker.LEASE,
    ),
    Misreading(
        "the new members alone count before the entry that names both sets is confirmed",
        Cores(primary=led_by(mutant_reigns.EndsChangesEarly)),
        steered(steering.torn_change),
        Checker.CONFIRMED,
    ),
    Misreading(
        "a repeated or late rebase drops what was acknowledged since",
        Cores(follower=holding(mutant_logs.DropsWhatFollowsABase)),
        steered(steering.late_rebase),
        Checker.ORDER,
    ),
    Misreading(
        "a follower trims what is not confirmed",
        Cores(follower=holding(mutant_logs.TrimsAllItHolds)),
        BLIND,
        Checker.CONFIRMED,
    ),
    Misreading(
        "the membership is kept outside the log",
        Cores(primary=mutant_reigns.KeepsToTheMembersItWasTold),
        steered(steering.stale_hint),
        Checker.ORDER,
    ),
    Misreading(
        "a replica publishes by number instead of digest",
        Cores(replica=mutant_logs.PublishesByNumber, primary=led_by(mutant_reigns.TalksMuch)),
        DIVERGENCE,
        Checker.VISIBLE,
    ),
    Misreading(
        "a replica keeps old frames across epochs",
        Cores(replica=mutant_logs.KeepsOldFrames),
        OVERTAKEN,
        Checker.VISIBLE,
    ),
    Misreading(
        "a replica recovers a left-over WAL",
        Cores(replica_file=mutant_logs.RecoversLeftOverWal),
        steered(steering.replicas_crash),
        Checker.VISIBLE,
    ),
    Misreading(
        "a session sends two queries at once",
        Cores(session=mutant_reigns.AsksTwoAtOnce),
        BLIND,
        Checker.SESSION,
    ),
    Misreading(
        "a write is repeated after its key is forgotten",
        Cores(keys=mutant_reigns.ForgetsWithoutKnowing),
        BLIND,
        Checker.ACKNOWLEDGED,
    ),
    Misreading(
        "a primary begins without the keys of those before it",
        Cores(primary_process=mutant_reigns.BeginsWithoutKeys),
        BLIND,
        Checker.ACKNOWLEDGED,
    ),
]

SCRIPTS = {one.what: one.plan for one in MISREADINGS if one.plan is not BLIND}


def notices(checker: str, seed: int, cores: Cores, plan: Plan) -> bool:
    return any(one.startswith(f"{checker}: ") for one in run(seed, cores, plan).violations)


@pytest.mark.parametrize("misreading", MISREADINGS, ids=lambda one: one.what)
def test_it_is_noticed_that(misreading: Misreading) -> None:
    seeds = range(MOST_SEEDS)
    assert any(notices(misreading.checker, seed, misreading.cores, misreading.plan) for seed in seeds)


@pytest.mark.parametrize("plan", SCRIPTS.values(), ids=list(SCRIPTS))
def test_nothing_is_noticed_without_the_misreading_that(plan: Plan) -> None:
    for seed in range(CLEAN_SEEDS):
        assert not run(seed, PRODUCTION, plan).violations


def test_a_leader_may_tell_its_newest_mark_to_whoever_does_not_hold_it_yet() -> None:
    cores = Cores(primary=led_by(mutant_reigns.TalksMuch))
    for seed in range(CLEAN_SEEDS):
        assert not run(seed, cores, BLIND).violations
        assert not run(seed, cores, DIVERGENCE).violations
