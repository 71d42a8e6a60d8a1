"""The cores as scenarios make them, what happens to them besides messages, and how their state is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.scenarios.names import DATABASE, Entries, member_of, members_of, name_of

from raylite.actors.core import follower, primary, replica
from raylite.actors.core.log import LogIndex
from raylite.actors.core.peer import peer_of
from raylite.actors.core.queries import Waiting
from raylite.actors.core.shipping import Bounds
from raylite.actors.core.takeover import Adopted
from raylite.policies.bookmark import origin

Core = follower.FollowerLog | replica.ReplicaLog | primary.PrimaryCore
Effect = follower.Effect | replica.Effect | primary.Effect
GIVEN = {
    "at": "0/0", "confirmed": "0/0", "members": "a,b,c", "epoch": "0", "promised": "0", "directory": "",
    "jitter": "0", "window": "800", "append": "800", "inflight": "800", "ahead": "0",
    "wrote": "no", "mark": "0/0", "until": "5", "since": "no",
}  # fmt: skip


def make(kind: str, name: str, options: Mapping[str, str], entries: Entries, now: float) -> Core:
    """A core as it starts now, at a place of the log."""
    given = {**GIVEN, **options}
    at, confirmed, epoch = (
        entries.places[given["at"]],
        entries.places[given["confirmed"]],
        int(given["epoch"]),
    )
    members = members_of(given["members"])
    match kind:
        case "follower":
            founded = None if given["members"] == "none" else members
            index = LogIndex(origin(DATABASE), founded, entries.path(given["at"]))
            incarnation, promised = member_of(name).incarnation, int(given["promised"])
            return follower.FollowerLog(
                DATABASE, incarnation, index, promised=promised, confirmed=confirmed, started=now
            )
        case "replica":
            return replica.ReplicaLog(DATABASE, at, epoch)
        case _:
            bounds = Bounds(*(int(given[one]) for one in ("window", "append", "inflight", "ahead")))
            jitter = float(given["jitter"])
            reign = primary.PrimaryCore(
                DATABASE, name, members, given["directory"], jitter=jitter, bounds=bounds
            )
            if kind == "leader":
                adopted = Adopted(epoch, at, confirmed, members.current[0], members, (), 0)
                reign.takeover.epoch, reign.takeover.adopted = epoch, adopted
                reign.begin(adopted, now)
            return reign


def event(
    core: Core, verb: str, words: Sequence[str], options: Mapping[str, str], entries: Entries, now: float
) -> Sequence[Effect]:
    """The effects of what is no message."""
    match core, verb, words:
        case follower.FollowerLog(), "room", [answer]:
            core.has_room = answer == "yes"
            return []
        case follower.FollowerLog() | primary.PrimaryCore(), "tick", []:
            return core.tick(now)
        case primary.PrimaryCore(), "connected" | "lost" | "missing" | "change" | "propose", [*_]:
            return _of_relay(core, verb, words, entries, now)
        case primary.PrimaryCore(), _, _:
            return _of_queries(core, verb, words, {**GIVEN, **options}, entries, now)
        case _:
            raise ValueError(f"{type(core).__name__} knows no {verb}")


def _of_relay(
    core: primary.PrimaryCore, verb: str, words: Sequence[str], entries: Entries, now: float
) -> Sequence[Effect]:
    match verb, words:
        case "connected", [peer]:
            return core.connected(peer_id(core, peer), now)
        case "lost", [peer]:
            core.lost(peer_id(core, peer))
            return []
        case "missing", [peer, first]:
            return core.missing(peer_id(core, peer), int(first), now)
        case "change", [members]:
            return core.change_members(members_of(members).current, now)
        case _ if core.leader is not None:
            window = core.leader.window
            return core.committed(entries.make(window.place(window.end), words), now)
        case _:
            raise ValueError(f"no leader to {verb}")


def _of_queries(
    core: primary.PrimaryCore,
    verb: str,
    words: Sequence[str],
    given: Mapping[str, str],
    entries: Entries,
    now: float,
) -> Sequence[Effect]:
    match verb, words:
        case "replayed", []:
            core.replayed()
        case "admit", places:
            core.admit(entries.places[places[0]] if places else None, now)
        case "dismissed", []:
            core.dismissed()
        case "begin_write", []:
            refusal = core.refusal_of_writes(now)
            if refusal:
                raise refusal
        case "finished", [token]:
            mark, deadline = entries.places[given["mark"]], now + float(given["until"])
            since = now if given["since"] == "yes" else None
            return core.finished(Waiting(token, mark, given["wrote"] == "yes", deadline, since), now)
        case "stop", []:
            return core.stop()
        case _:
            raise ValueError(f"a primary knows no {verb}")
    return []


def peer_id(core: primary.PrimaryCore, name: str) -> str:
    """A leader's name for a peer."""
    is_replica = core.leader is not None and name in core.leader.peers
    return name if is_replica else peer_of(member_of(name))


def peer_name(core: primary.PrimaryCore, peer: str) -> str:
    """A scenario's name for a leader's peer."""
    found = [name_of(member) for member in core.contacts if peer_of(member) == peer]
    return found[0] if found else peer


def state(core: Core, entries: Entries, now: float) -> str:
    """What a core holds."""
    show = entries.show
    match core:
        case follower.FollowerLog():
            begins = f"{show(core.index.base)}.." if core.index.base.sequence else ""
            log = f"log {begins}{show(core.index.pieces) or ('' if begins else '0/0')} confirmed {show(core.confirmed)}"
            lease = f"lease {core.lease_seconds(now):g}{', gave up' if core.gave_up else ''}"
            return f"{log} promised {core.promised} {lease}"
        case replica.ReplicaLog():
            epochs = f"epoch {core.epoch} epochs {show(core.history.epochs) or 'unknown'}"
            return f"published {show(core.published)} held {show(core.held) or 'nothing'} {epochs}"
        case primary.PrimaryCore(leader=None):
            return f"{core.phase.name} epoch {core.epoch} members {show(core.members)}"
        case primary.PrimaryCore(leader=lead):
            assert lead is not None
            window = f"{show(lead.window.start)}..{show(lead.window.place(lead.window.end))}"
            peers = [f"{peer_name(core, one.id)} {one.state.name} {one.acked}" for one in lead.peers.values()]
            answers = "may answer" if lead.may_answer(now) else "may not answer"
            quorum = "a quorum" if lead.voters.has_quorum(now) else "no quorum"
            return (
                f"{core.phase.name} confirmed {show(lead.confirmed)} window {window}, "
                f"{', '.join(peers)}, {answers}, {quorum}"
            )
