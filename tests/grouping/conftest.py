"""The embedded server, as the flow tests have it."""

from tests.flow.conftest import server

__all__ = ["server"]
