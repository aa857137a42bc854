"""A service that Tocsin protects: what a newcomer copies."""

import os
from typing import Annotated

from fastapi import Depends, FastAPI

from tocsin_verifier_agent import Verified
from tocsin_verifier_agent.authenticator import Authenticator
from tocsin_verifier_agent.fastapi import TocsinMiddleware, require


def create_app(agent: Authenticator) -> FastAPI:
    """The service, protected by an agent of its own or by the host's sidecar."""
    app = FastAPI(title="orders")
    app.add_middleware(TocsinMiddleware, agent=agent)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz() -> dict[str, object]:
        return agent.describe()

    @app.get("/orders")
    def orders(caller: Annotated[Verified, Depends(require("orders:read"))]) -> dict[str, object]:
        return {"orders": ["A-1001", "A-1002"], "of": caller.subject, "worker": os.getpid()}

    @app.post("/orders")
    def order(
        caller: Annotated[Verified, Depends(require("orders:write", max_staleness=15))],
    ) -> dict[str, object]:
        """An order moves money: it demands a proof that is at most 15 seconds old."""
        return {"ordered": "A-1003", "by": caller.subject}

    return app
