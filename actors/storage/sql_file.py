"""Cuts a file of SQL into texts of whole statements, in bounded memory.

Where a statement ends is what `sqlite3_complete` says (https://sqlite.org/c3ref/complete.html): a semicolon outside of
quotes and comments; for CREATE TRIGGER the one behind an END that follows a semicolon. SQLite itself judges all else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec

from raylite.policies import limits
from raylite.policies.errors import LimitExceeded, StatementError

_BLOCK: Final = 1 << 20
_TEXT: Final = 256 << 10
_BOM: Final = b"\xef\xbb\xbf"
_GAP: Final = rb"(?:\s|--[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/)"
_EVENT: Final = re.compile(rb"""(?:[^;'"`\[/-]++|'[^']*+'|"[^"]*+"|-(?!-)|/(?!\*))*+([;'"`\[]|--|/\*)""")
_TRIGGER: Final = re.compile(
    rb"(?:%b)*+(?:EXPLAIN%b+(?:QUERY%b+PLAN%b+)?)?CREATE%b+(?:TEMP(?:ORARY)?%b+)?TRIGGER\b"
    % (_GAP, _GAP, _GAP, _GAP, _GAP, _GAP),
    re.IGNORECASE,
)
_END: Final = re.compile(rb"(?:%b)*+END(?:%b)*+;" % (_GAP, _GAP), re.IGNORECASE)
_NOTHING: Final = re.compile(rb"(?:%b|--[^\n]*\Z|/\*(?:[^*]|\*(?!/))*\Z|;)*+" % _GAP)
_COMMENTS: Final = (b"--", b"/*")
_CLOSING: Final = {b"'": b"'", b'"': b'"', b"`": b"`", b"[": b"]", b"--": b"\n", b"/*": b"*/"}


class Text(msgspec.Struct, frozen=True):
    """Whole statements. line: of the file, where they begin, from 1 on; end: bytes of the file up to their end."""

    sql: str
    line: int
    end: int


def texts(file: BinaryIO) -> Iterator[Text]:
    """The file's statements in order, several in a text; what follows the last semicolon is the last one.

    Raises `LimitExceeded` for a statement that is longer than SQLite takes, `StatementError` for NUL characters and
    bytes that are not UTF-8, OSError.
    """
    line, end = 1, 0
    for piece in _pieces(file):
        end += len(piece)
        skipped = len(_BOM) if end == len(piece) and piece.startswith(_BOM) else 0
        yield Text(_decoded(piece[skipped:], line), line, end)
        line += piece.count(b"\n")


def statements(sql: str) -> Iterator[str]:
    """Each statement of a text by itself, in order; what only comments and white space are left out."""
    data, begin = sql.encode(errors="surrogatepass"), 0
    while begin < len(data):
        end = _statement_end(data, begin) or len(data)
        if not _NOTHING.fullmatch(data, begin, end):
            yield data[begin:end].decode(errors="surrogatepass")
        begin = end


def trimmed(sql: str) -> str:
    """One statement without what follows its last word: comments, white space."""
    data, at = sql.encode(errors="surrogatepass"), 0
    while (found := _EVENT.match(data, at)) is not None:
        kind, begin, at = found[1], found.start(1), found.end()
        if kind == b";":
            continue
        if kind in _COMMENTS and _NOTHING.fullmatch(data, begin):
            return data[:begin].decode(errors="surrogatepass").rstrip()
        closed = data.find(_CLOSING[kind], at)
        if closed < 0:
            break
        at = closed + len(_CLOSING[kind])
    return sql.rstrip()


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    waiting = b""
    line = 1
    while block := file.read(_BLOCK):
        waiting += block
        at = begin = 0
        while (end := _statement_end(waiting, at)) is not None:
            at = end
            if at - begin >= _TEXT:
                yield waiting[begin:at]
                begin = at
        if at > begin:
            yield waiting[begin:at]
        line += waiting.count(b"\n", 0, at)
        waiting = waiting[at:]
        if len(waiting) > limits.SQL_BYTES:
            raise LimitExceeded(f"the statement in line {line}", len(waiting), limits.SQL_BYTES, "bytes")
    if waiting:
        yield waiting


def _statement_end(data: bytes, begin: int) -> int | None:
    """Where the statement that begins there ends, behind its semicolon; None if that is not in the data."""
    trigger: bool | None = None
    at = begin
    while (found := _EVENT.match(data, at)) is not None:
        at = found.end()
        kind = found[1]
        if kind == b";":
            if trigger is None:
                trigger = _TRIGGER.match(data, begin) is not None
            if not trigger:
                return at
            over = _END.match(data, at)
            if over is not None:
                return over.end()
            continue
        closed = data.find(_CLOSING[kind], at)
        if closed < 0:
            return None
        at = closed + len(_CLOSING[kind])
    return None


def _decoded(piece: bytes, line: int) -> str:
    nul = piece.find(b"\0")
    if nul >= 0:
        where = line + piece.count(b"\n", 0, nul)
        raise StatementError(f"line {where} of the file holds a NUL character")
    try:
        return piece.decode()
    except UnicodeDecodeError as error:
        where = line + piece.count(b"\n", 0, error.start)
        raise StatementError(f"line {where} of the file holds bytes that are not UTF-8") from error
