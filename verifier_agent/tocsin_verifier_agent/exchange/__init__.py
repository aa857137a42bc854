"""Token exchange (RFC 8693) as a service does it: its caller's token for one that another service
accepts.

::

    async with ExchangeClient(agent, transport) as exchange:
        exchanged = await exchange.exchange(token, "inventory", ["inventory:read"])
"""

from tocsin_verifier_agent.exchange.client import ExchangeClient
from tocsin_verifier_agent.exchange.transport import ExchangedToken, ExchangeTransport

__all__ = ["ExchangeClient", "ExchangeTransport", "ExchangedToken"]
