"""For the tests of a service that embeds a verifier: tokens, revocations and outages, no servers.

::

    pytest_plugins = ["tocsin_verifier_agent.testing"]     # in the topmost conftest.py

    def test_a_logout_takes_effect(tocsin):
        with TestClient(create_app(tocsin.agent)) as client:
            token = tocsin.mint(perms=["orders:read"], sid="s-1")
            ...
            tocsin.revoke_session("s-1")

It is no plugin that loads itself: code that mints tokens is there only where somebody asks for it.
"""

import pytest

from tocsin_verifier_agent.testing.clock import ManualClock
from tocsin_verifier_agent.testing.exchange import LocalExchange
from tocsin_verifier_agent.testing.issuer import AUDIENCE, ISSUER, LocalIssuer

__all__ = ["AUDIENCE", "ISSUER", "LocalExchange", "LocalIssuer", "ManualClock", "tocsin"]


@pytest.fixture
def tocsin() -> LocalIssuer:
    """An issuer of this test's own, with a live agent."""
    return LocalIssuer()
