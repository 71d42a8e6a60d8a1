"""Which addresses lead somewhere."""

from __future__ import annotations

import socket

import pytest

from raylite.actors.cluster import is_listening


def test_whoever_listens_is_found() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert is_listening(f"127.0.0.1:{port}")
    assert not is_listening(f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["auto", "local", "", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:port"])
def test_nobody_listens_at_what_is_no_host_and_port(address: str) -> None:
    assert not is_listening(address)
