"""The store port over `obstore`: S3, Google Cloud Storage and Azure by URL, each with its usual environment."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import from_url

from raylite.actors.cold.calls import Calls
from raylite.actors.cold.store import Object
from raylite.policies.errors import Error, NotAllowed, ParameterError, StorageFull, Unreachable
from raylite.policies.limits import COLD_CALL_SECONDS, COLD_LEFTOVER_SECONDS, COLD_LIST_SECONDS

if TYPE_CHECKING:  # names that obstore has for checkers only
    from obstore.store import ClientConfig, RetryConfig
    from obstore.store import ObjectStore as Backend

T = TypeVar("T")

SCHEMES: Final = ("s3", "gs", "az")
_CLOCK: Final = "clock"
_TEXT_CHARACTERS: Final = 300
_RETRIES: Final = 3
_FAR: Final = 1 << 62
_OS_ERROR: Final = re.compile(r"\(os error (\d+)\)")
_SAID: Final = re.compile(r"<Code>(\w+)</Code>\s*<Message>([^<]*)</Message>")
_NO_BUCKET: Final = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist")
_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_REFUSED: Final = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))


class ObjectStore:
    """See `Store`. seconds: deadline of one call, the client's own retries included."""

    def __init__(self, address: str, backend: Backend, seconds: float = COLD_CALL_SECONDS) -> None:
        self._address, self._backend, self._seconds = address, backend, seconds
        self._calls = Calls(f"cold storage {address}")

    @property
    def address(self) -> str:
        """See `Store.address`."""
        return self._address

    def put(self, name: str, data: bytes) -> bool:
        """See `Store.put`: one conditional request, which the provider answers once the object is durable."""

        def made() -> bool:
            try:
                obstore.put(self._backend, name, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            return True

        return self._run(made)

    def read(self, name: str, first: int = 0, size: int | None = None) -> bytes | None:
        """See `Store.read`."""

        def found() -> bytes | None:
            try:
                if size is None and not first:
                    return bytes(obstore.get(self._backend, name).bytes())
                end = _FAR if size is None else first + size
                return bytes(obstore.get_range(self._backend, name, start=first, end=end))
            except FileNotFoundError as error:
                if _NO_BUCKET.search(str(error)):
                    raise
                return None
            except BaseError:
                # Stores refuse a range that begins at or behind the end, where there is just nothing to read.
                if obstore.head(self._backend, name)["size"] <= first:
                    return b""
                raise

        return b"" if size == 0 else self._run(found)

    def list(self, prefix: str, after: str = "") -> list[Object]:
        """See `Store.list`. The whole listing is held in memory, about 300 bytes an object."""

        def found() -> list[Object]:
            pages = obstore.list(self._backend, prefix or None, offset=after or None, chunk_size=1000)
            return sorted(
                Object(one["path"], one["size"], one["last_modified"].timestamp())
                for page in pages
                for one in page
            )

        return self._run(found, COLD_LIST_SECONDS)

    def delete(self, name: str) -> None:
        """See `Store.delete`."""

        def gone() -> None:
            try:
                obstore.delete(self._backend, name)
            except FileNotFoundError as error:
                if _NO_BUCKET.search(str(error)):
                    raise

        self._run(gone)

    def now(self) -> float:
        """See `Store.now`: the time that the store gives to a new object, which is deleted again."""
        name = f"{_CLOCK}/{secrets.token_hex(8)}"
        self.put(name, b"raylite")
        probes = self.list(_CLOCK)
        now = next((one.modified for one in probes if one.name == name), None)
        if now is None:
            raise Unreachable(f"cold storage {self._address}", f"it does not list {name}, which it has taken")
        for one in probes:
            if one.name == name or one.modified < now - COLD_LEFTOVER_SECONDS:
                self.delete(one.name)
        return now

    def _run(self, call: Callable[[], T], seconds: float | None = None) -> T:
        try:
            return self._calls.run(call, seconds or self._seconds)
        except (
            BaseError,
            OSError,
            ValueError,
            NotImplementedError,
        ) as error:  # the last: a store cannot do it
            raise translated(self._address, error) from error


def translated(address: str, error: Exception) -> Error:
    """What an error of `obstore` or of the system means to whoever uses cold storage."""
    said = _SAID.search(str(error))
    text = f"{said[1]}: {said[2]}" if said else _first_line(error)
    found = _OS_ERROR.search(text)
    number = error.errno if isinstance(error, OSError) and error.errno else int(found[1]) if found else 0
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or number in _REFUSED:
        return NotAllowed(
            f"access to cold storage {address} ({text})", "Check its credentials and permissions."
        )
    if number in _FULL:
        return StorageFull(f"cold storage {address}", text)
    return Unreachable(f"cold storage {address}", text)


def open_remote(address: str, seconds: float = COLD_CALL_SECONDS) -> ObjectStore:
    """The store at `s3://bucket/path`, `gs://bucket/path` or `az://container/path`.

    Credentials, regions and endpoints come from the environment as the provider's own tools read it. Nothing is
    asked of the store yet; raises `ParameterError` if the address or the environment is not complete.
    """
    options: ClientConfig = {"timeout": timedelta(seconds=seconds), "allow_http": _plain_http()}
    retries: RetryConfig = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=seconds)}
    try:
        backend = from_url(address, client_options=options, retry_config=retries)
    except (BaseError, ValueError) as error:
        raise ParameterError(f"cold storage {address} cannot be used: {_first_line(error)}") from error
    return ObjectStore(address, backend, seconds + 1)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:_TEXT_CHARACTERS]


def _plain_http() -> bool:
    """Whether the environment names an endpoint without TLS, as local S3 servers have."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT")
    asked = ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP")
    return any(os.environ.get(name, "").startswith("http://") for name in names) or any(
        os.environ.get(name, "").lower() in ("1", "true") for name in asked
    )
