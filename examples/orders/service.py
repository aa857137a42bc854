"""The service as it runs; its tests make the application with another agent.

Run it with ``TOCSIN_FILE=orders.tocsin uvicorn examples.orders.service:app --workers 2``.
"""

from examples.orders.app import create_app
from tocsin_verifier_agent import authenticator

app = create_app(authenticator.from_file())  # as the file that TOCSIN_FILE names asks for
