"""A server on loopback that speaks S3, with a bucket for whoever asks for one."""

from __future__ import annotations

import itertools
import logging
import urllib.request
from collections.abc import Iterable
from typing import Self

import pytest
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from raylite.actors.cold.folder import open_store
from raylite.actors.cold.store import Store

_PREFIX = "some/prefix"
_OWNER = ("123456789012", "aws")
"""Whose buckets a server has unless a request says otherwise."""
_BUCKETS = map("bucket-{}".format, itertools.count(1))
"""Buckets outlive the servers of a process."""


class Server:
    """A context manager."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.endpoint = self._bucket = ""

    def __enter__(self) -> Self:
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def fill(self, names: Iterable[str]) -> None:
        """Puts empty objects into the bucket that was opened last, past HTTP."""
        account, partition = _OWNER
        backend = s3_backends[account][partition]
        for name in names:
            backend.put_object(self._bucket, f"{_PREFIX}/{name}", b"")

    def open(self, environment: pytest.MonkeyPatch, *, make: bool = True, seconds: float = 20) -> Store:
        """A store in a bucket of its own, found by what the provider's tools read from the environment."""
        environment.setenv("AWS_ENDPOINT_URL", self.endpoint)
        environment.setenv("AWS_REGION", "us-east-1")
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        self._bucket = bucket = next(_BUCKETS)
        if make:
            request = urllib.request.Request(f"{self.endpoint}/{bucket}", method="PUT")
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert answer.status == 200
        return open_store(f"s3://{bucket}/{_PREFIX}", seconds)
