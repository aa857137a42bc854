"""The service with a route that calls inventory. Its file has a section ``exchange`` and no line
``sidecar``: exchanged tokens are looked at by the rules of an agent of the service's own.

Run it with ``TOCSIN_FILE=orders.tocsin INVENTORY_URL=http://127.0.0.1:8001 \\
uvicorn examples.orders.stock_service:app``.
"""

import os

import httpx

from examples.orders.app import create_app
from examples.orders.stock import stock_router
from tocsin_verifier_agent import VerifierAgent
from tocsin_verifier_agent.exchange import ExchangeClient

agent = VerifierAgent.from_file()
app = create_app(agent)
app.include_router(
    stock_router(
        ExchangeClient.from_file(agent), httpx.AsyncClient(base_url=os.environ["INVENTORY_URL"])
    )
)
