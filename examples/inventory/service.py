"""The service as it runs; its tests make the application with another agent.

Run it with ``TOCSIN_FILE=inventory.tocsin uvicorn examples.inventory.service:app --workers 2``.
"""

from examples.inventory.app import create_app
from tocsin_verifier_agent import VerifierAgent

app = create_app(VerifierAgent.from_file())  # the file that TOCSIN_FILE names
