"""Short names for what scenarios speak of: entries, places, members; and values printed with these names.

`2/5` is the entry of epoch 2 with sequence 5, and the place where it ends; `2/5.0` is the first piece of one in several
pieces. A letter (`2/5b`) tells entries apart that share both numbers. `0/0` is where every log begins. `a` is the
member that follower a became when it joined first, `a.2` the one that it became when it joined again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import msgspec

from raylite.actors.core import messages as m
from raylite.actors.core.base import Base
from raylite.actors.core.piece import Header, Kind, Pages, Piece, describe, encode, encode_members
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.quorum import Member, Members

DATABASE = "db"
PIECE_BYTES = 100
_ENTRY = re.compile(
    r"(?P<name>(?P<epoch>\d+)/(?P<sequence>\d+)[a-z]?)(\*(?P<count>\d+))?(\{(?P<members>.*)\})?"
)
_PLACE = re.compile(r"\w{8}-\w{8}-\w{8}-\w{32}")
_HEAD_BYTES = 48
_HIDDEN = frozenset({"database", "encoded"})


class Made(msgspec.Struct, frozen=True):
    """A piece, its bytes, and the place that it follows."""

    piece: Piece
    encoded: bytes
    before: Bookmark


class Entries:
    """All entries that a scenario has made, by name. Every piece has `PIECE_BYTES`, but one that names members."""

    def __init__(self) -> None:
        start = origin(DATABASE)
        self.places: dict[str, Bookmark] = {"0/0": start}
        self.made: dict[str, Made] = {}
        self._names: dict[object, str] = {start: "0/0"}

    def make(self, after: Bookmark, texts: Sequence[str]) -> list[Piece]:
        """Pieces of new entries, each behind the one before; `2/5*3` has three, `2/6{a,b,c|b,c,d}` names members."""
        pieces: list[Piece] = []
        for text in texts:
            for name, encoded in _encoded(text):
                before = pieces[-1].place if pieces else after
                piece = describe(before, encoded)
                if name in self.made:
                    raise ValueError(f"{name} is made already")
                self.made[name] = Made(piece, encoded, before)
                self.places[name] = piece.place
                self._names[piece.place] = self._names[encoded] = name
                pieces.append(piece)
        return pieces

    def path(self, name: str) -> list[Piece]:
        """All pieces up to this place, from the log's beginning."""
        path: list[Piece] = []
        while name != "0/0":
            path.append(self.made[name].piece)
            name = self._names[self.made[name].before]
        return path[::-1]

    def encoded(self, text: str) -> bytes:
        """The bytes of a piece; with `~` behind its name one bit is flipped."""
        data = self.made[text.rstrip("~")].encoded
        return data[:-1] + bytes([data[-1] ^ 1]) if text.endswith("~") else data

    def found(self, value: object) -> str:
        """The name of a place or of bytes."""
        return self._names.get(value) or ("???" if isinstance(value, bytes) else str(value))

    def message(self, kind: str, sender: str, receiver: str, options: Mapping[str, str]) -> m.RelayMessage:
        """A message of this kind; what `options` lacks is zero, empty, or follows from the rest."""
        make: type[msgspec.Struct] = getattr(m, kind)
        given = {"incarnation": member_of(receiver).incarnation, "replica": sender, **options}
        if kind == "Append":
            pieces = given.get("pieces", "").rstrip("~").split(",")
            given.setdefault("previous", self._names[self.made[pieces[0]].before] if pieces[0] else "0/0")
            given.setdefault("place", pieces[-1] or given["previous"])
        fields = [one for one in msgspec.structs.fields(make) if one.name in given or one.required]
        values = {one.name: self._value(one.name, given.get(one.name), one.type) for one in fields}
        return cast("Callable[..., m.RelayMessage]", make)(**values)

    def _value(self, field: str, text: str | None, kind: object) -> object:
        match field, kind:
            case "database", _:
                return DATABASE
            case "pieces", _:
                return [self.encoded(one) for one in text.split(",")] if text else []
            case "members", _:
                return members_of(text or "a,b,c")
            case "epochs", _:
                pairs = (one.split(":") for one in (text or "").split(","))
                return tuple((int(epoch), int(first)) for epoch, first in pairs)
            case "base" | "start", _ if kind is not Bookmark:
                return Base(self.places[text], members_of("a,b,c")) if text else None
            case _ if kind is Bookmark:
                return self.places[text or "0/0"]
            case _ if kind is bool:
                return text == "yes"
            case _ if kind is int:
                return int(text or 0)
            case _ if kind is float:
                return float(text or 0)
            case _:
                return text or ""

    def show(self, value: object) -> str:
        """A value as scenarios print it; what is empty, zero or a default prints nothing."""
        match value:
            case Bookmark() | bytes():
                return self.found(value)
            case Base():
                return f"{self.found(value.place)}{self.show(value.members)}"
            case Piece():
                return self.found(value.place)
            case Member():
                return name_of(value)
            case Members():
                return "{" + "|".join(",".join(map(name_of, part)) for part in value.sets) + "}"
            case bool():
                return "yes" if value else "no"
            case float():
                return f"{value:g}"
            case msgspec.Struct():
                return " ".join([type(value).__name__, *self._fields(value)])
            case (int() as epoch, int() as first):
                return f"{epoch}:{first}"
            case list() | tuple():
                return ",".join(map(self.show, cast("Sequence[object]", value)))
            case Exception():
                return type(value).__name__
            case _:
                return _PLACE.sub(lambda text: self.found(Bookmark.parse(text[0])), str(value))

    def _fields(self, value: msgspec.Struct) -> list[str]:
        fields = [(field, getattr(value, field.name)) for field in msgspec.structs.fields(value)]
        return [
            f"{field.name}={self.show(one)}"
            for field, one in fields
            if field.name not in _HIDDEN
            and one != field.default
            and (one or one is False)
            and not (field.name == "incarnation" and str(one).endswith(".1"))
        ]


def _encoded(text: str) -> list[tuple[str, bytes]]:
    found = _ENTRY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text} is no entry")
    name, count = found["name"], int(found["count"] or 1)
    members = encode_members(members_of(found["members"])) if found["members"] else b""
    made: list[tuple[str, bytes]] = []
    for number in range(count):
        piece = name if number == count - 1 else f"{name}.{number}"
        content = piece.encode().ljust(PIECE_BYTES - _HEAD_BYTES)
        header = Header(
            Kind.MEMBERS if members else Kind.WRITE, piece == name, int(found["epoch"]), int(found["sequence"]),
            number, int(found["sequence"]), len(content), 1, members,
        )  # fmt: skip
        made.append((piece, encode(header, Pages([1], [content]))))
    return made


def member_of(name: str) -> Member:
    """The member of this name."""
    follower, _, joined = name.partition(".")
    return Member(follower, f"{follower}.{joined or 1}")


def name_of(member: Member) -> str:
    """The name of this member."""
    return member.incarnation.removesuffix(".1")


def members_of(text: str) -> Members:
    """The members of `a,b,c`, or `a,b,c|b,c,d` while they change."""
    now, _, following = text.partition("|")
    return Members(*(tuple(map(member_of, part.split(","))) for part in (now, following) if part))
