"""The root of all errors, and how errors cross a wire that has no pickle."""

from __future__ import annotations

from typing import ClassVar


class Error(Exception):
    """Root of the tree. Its text says what happened, whether a write applied, and what to do."""

    http_status: ClassVar[int] = 500
    may_have_applied: ClassVar[bool] = False

    def __init__(self, *fields: str | int | float) -> None:
        super().__init__(*fields)


def _tree(root: type[Error]) -> dict[str, type[Error]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


def encode(error: Error) -> tuple[str, tuple[str | int | float, ...]]:
    """Class name and fields of an error, for a wire without pickle."""
    return type(error).__name__, error.args


def decode(name: str, fields: tuple[str | int | float, ...]) -> Error:
    """The error that `encode` took apart; an unknown class becomes a plain `Error` with its fields.

    Raises TypeError if the fields are not those of the class, so that its text cannot be made of them.
    """
    kind = _tree(Error).get(name)
    error = Error(name, *fields) if kind is None else kind(*fields)
    try:
        str(error)
    except ValueError as reason:
        raise TypeError(f"the fields of {name}: {reason}") from reason
    return error
