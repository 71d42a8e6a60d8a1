"""Cores by name, a clock that moves when told, and the messages on their way between the cores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec
from tests.scenarios import seats
from tests.scenarios.names import DATABASE, Entries, name_of
from tests.scenarios.script import Command

from raylite.actors.core import follower, leader, primary, replica
from raylite.actors.core import messages as m
from raylite.actors.core.catching_up import Fetch, Forward, Rebase
from raylite.actors.core.piece import describe_all
from raylite.actors.core.shipping import Ship
from raylite.actors.core.takeover import Ask
from raylite.policies.errors import Error

DELIVERIES = 1000


class Sent(msgspec.Struct, frozen=True):
    """A message on its way. about: the peer for which something is read, else empty."""

    sender: str
    receiver: str
    message: m.RelayMessage
    about: str = ""


class World:
    """Runs commands; what they print is what the cores do about them."""

    def __init__(self) -> None:
        self.entries, self.now = Entries(), 0.0
        self.cores: dict[str, seats.Core] = {}
        self._sent: list[Sent] = []
        self._informed: set[tuple[str, str]] = set()
        self._lines: list[str] = []

    def run(self, command: Command) -> list[str]:
        """The lines that a command prints."""
        self._lines = []
        try:
            self._run(command.name, command.words, command.options)
        except Error as error:
            self._lines.append(f"{command.name} raises {type(error).__name__}")
        return self._lines

    def _run(self, name: str, words: Sequence[str], options: Mapping[str, str]) -> None:
        match name, words:
            case "wait", [seconds]:
                self.now += float(seconds)
            case "log", [after, *texts]:
                self.entries.make(self.entries.places[after], texts)
            case "show", names:
                states = [seats.state(self.cores[one], self.entries, self.now) for one in names]
                self._lines += [f"{one}: {text}" for one, text in zip(names, states, strict=True)]
            case (("follower" | "replica" | "primary" | "leader"), [one]):
                self._lose(one)
                self.cores[one] = seats.make(name, one, options, self.entries, self.now)
            case _, _ if "->" in name:
                sender, _, receiver = name.partition("->")
                self._wire(sender, receiver, words, options)
            case _, [verb, *rest]:
                if verb == "lost":
                    self._lose(name, rest[0])
                event = seats.event(self.cores[name], verb, rest, options, self.entries, self.now)
                self._carry_out(name, event)
            case _:
                raise ValueError(f"no such command: {name}")

    # Messages on their way

    def _wire(self, sender: str, receiver: str, words: Sequence[str], options: Mapping[str, str]) -> None:
        """Takes the next message, with `*` for a name all that there are; or hands one over that nobody sent."""
        match words:
            case ["drop"]:
                self._sent.remove(self._next(sender, receiver)[0])
            case ["again"]:
                self._hand(self._next(sender, receiver)[0])
            case [kind]:
                message = self.entries.message(kind, sender, receiver, options)
                self._hand(Sent(sender, receiver, message, options.get("for", "")))
            case _:
                for _ in range(DELIVERIES if "*" in sender + receiver else 1):
                    for sent in self._next(sender, receiver)[:1]:
                        self._sent.remove(sent)
                        self._hand(sent)

    def _next(self, sender: str, receiver: str) -> list[Sent]:
        return [
            one for one in self._sent if fnmatchcase(f"{one.sender}->{one.receiver}", f"{sender}->{receiver}")
        ]

    def _lose(self, one: str, other: str = "*") -> None:
        lost = [*self._next(one, other), *self._next(other, one)]
        self._sent = [sent for sent in self._sent if sent not in lost]
        self._informed.discard((one, other))

    def _send(self, sender: str, receiver: str, message: m.RelayMessage, about: str = "") -> None:
        suffix = f" for={about}" if about else ""
        self._lines.append(f"{sender}->{receiver} {self.entries.show(message)}{suffix}")
        if receiver in self.cores:
            self._sent.append(Sent(sender, receiver, message, about))

    # Messages that arrive, and effects

    def _hand(self, sent: Sent) -> None:
        core, message = self.cores[sent.receiver], sent.message
        match core:
            case follower.FollowerLog() if isinstance(message, m.ToFollower):
                self._carry_out(sent.receiver, core.receive(message, sent, self.now))
            case replica.ReplicaLog() if isinstance(message, m.Append):
                self._carry_out(sent.receiver, core.receive(message), sent.sender)
            case replica.ReplicaLog() if isinstance(message, m.Diverged):
                self._carry_out(sent.receiver, core.diverged(message))
            case primary.PrimaryCore() if isinstance(message, m.Follow):
                self._informed.discard((sent.receiver, sent.sender))
                self._carry_out(sent.receiver, core.follow(sent.sender, message.confirmed, self.now))
            case primary.PrimaryCore() if isinstance(message, m.FromFollower):
                self._carry_out(sent.receiver, self._answered(core, sent, message))
            case _:
                raise ValueError(f"{sent.receiver} takes no {message}")

    def _answered(
        self, core: primary.PrimaryCore, sent: Sent, message: m.FromFollower
    ) -> Sequence[primary.Effect]:
        if not sent.about:
            return core.received(seats.peer_id(core, sent.sender), message, self.now)
        pieces = describe_all(message.after, message.pieces) if isinstance(message, m.Pieces) else []
        return core.fetched(seats.peer_id(core, sent.about), message, pieces, self.now)

    def _carry_out(self, name: str, effects: Sequence[seats.Effect], asker: str = "") -> None:
        for effect in effects:
            match effect:
                case follower.Reply(to=Sent() as to):
                    self._send(name, to.sender, effect.message, to.about)
                case follower.Load(to=Sent() as to):
                    data = [self.entries.encoded(self.entries.show(piece)) for piece in effect.pieces]
                    answer = m.Pieces(DATABASE, effect.after, data, effect.tail, effect.confirmed)
                    self._send(name, to.sender, answer, to.about)
                case replica.Answer():
                    self._send(name, asker, effect.message)
                case Ask():
                    self._send(name, name_of(effect.member), effect.message)
                case Ship() | Forward() | Fetch() | Rebase() | leader.Diverge():
                    self._relay(name, effect)
                case _:
                    self._lines.append(f"{name}: {self.entries.show(effect)}")

    def _relay(self, name: str, effect: Ship | Forward | Fetch | Rebase | leader.Diverge) -> None:
        core = self.cores[name]
        assert isinstance(core, primary.PrimaryCore)
        assert core.leader is not None
        to = seats.peer_name(core, effect.peer)
        match effect:
            case Fetch():
                read = m.Read(DATABASE, effect.source.incarnation, effect.after, 8 * 100)
                self._send(name, name_of(effect.source), read, to)
            case Rebase():
                incarnation = effect.peer.partition("/")[2]
                rebase = m.Rebase(DATABASE, incarnation, effect.number, core.epoch, effect.base)
                self._send(name, to, rebase)
            case leader.Diverge():
                self._send(name, to, m.Diverged(DATABASE, core.epoch))
            case Forward():
                self._send(name, to, self._append(core, to, effect, effect.pieces))
            case Ship():
                pieces = core.leader.window.run(effect.first, effect.end)
                data = [self.entries.encoded(self.entries.show(piece)) for piece in pieces]
                self._send(name, to, self._append(core, to, effect, data))

    def _append(
        self,
        core: primary.PrimaryCore,
        to: str,
        effect: Ship | Forward,
        pieces: Sequence[bytes],
    ) -> m.Append:
        assert core.leader is not None
        member = core.leader.peers[effect.peer].member
        epochs: tuple[tuple[int, int], ...] = ()
        if member is None and core.history and (core.name, to) not in self._informed:
            self._informed.add((core.name, to))
            epochs = core.history.epochs
        return m.Append(
            DATABASE, member.incarnation if member else "", effect.number, core.epoch, core.directory,
            effect.previous, list(pieces), effect.place, effect.confirmed, 0, epochs,
        )  # fmt: skip
