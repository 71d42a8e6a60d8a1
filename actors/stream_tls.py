"""TLS for the stream, from the same files as Ray's own."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import NamedTuple


class Tls(NamedTuple):
    """The contexts of both sides of a connection; each side shows its certificate and checks the other's."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def tls_from_environment(environment: Mapping[str, str]) -> Tls | None:
    """Contexts by Ray's variables, None unless RAY_USE_TLS is 1.

    RAY_TLS_SERVER_CERT, RAY_TLS_SERVER_KEY, RAY_TLS_CA_CERT are paths of PEM files; a certificate must name the address
    at which its process listens, as Ray wants it too. Raises KeyError for a missing variable, OSError or
    ssl.SSLError for a file that does not do.
    """
    if environment.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
        return None
    certificate, key = environment["RAY_TLS_SERVER_CERT"], environment["RAY_TLS_SERVER_KEY"]
    authority = environment["RAY_TLS_CA_CERT"]
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    client = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=authority)
    server.verify_mode = ssl.CERT_REQUIRED
    for context in (server, client):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
    return Tls(server, client)
