"""The HTTP API for an ASGI server of one's own: `raylite.http.application()` (docs/http.md)."""

from raylite.policies.tokens import Scope
from raylite.router.hosted import own_application as application
from raylite.router.http.ports import Authorizer

__all__ = ["Authorizer", "Scope", "application"]
