"""A scenario's text: blocks of commands, `----`, and what they print; comments stand anywhere above the rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

RULE = "----"


class Command(msgspec.Struct, frozen=True):
    """A line: its first word, the plain words that follow, and those of the form `name=value`."""

    name: str
    words: tuple[str, ...]
    options: dict[str, str]

    @classmethod
    def parse(cls, line: str) -> Command:
        """The command of a line that is neither blank nor a comment."""
        name, *rest = line.split()
        pairs = [word.partition("=") for word in rest if "=" in word]
        return cls(
            name, tuple(word for word in rest if "=" not in word), {key: value for key, _, value in pairs}
        )


def played(text: str, run: Callable[[Command], Sequence[str]]) -> str:
    """The scenario with what `run` prints for its commands beneath each rule; raises ValueError without a rule."""
    return "\n\n".join(_played(part, run) for part in text.strip().split("\n\n")) + "\n"


def _played(block: str, run: Callable[[Command], Sequence[str]]) -> str:
    above = block.partition(f"\n{RULE}")[0].splitlines()
    commands = [Command.parse(line) for line in above if line.strip() and not line.startswith("#")]
    if not commands:
        return block
    if RULE not in block.splitlines():
        raise ValueError(f"no {RULE} beneath: {block}")
    return "\n".join([*above, RULE, *(line for command in commands for line in run(command))])
