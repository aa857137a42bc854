"""A second service, with an agent of its own."""

import os
from typing import Annotated

from fastapi import Depends, FastAPI

from tocsin_verifier_agent import Verified
from tocsin_verifier_agent.authenticator import Authenticator
from tocsin_verifier_agent.fastapi import TocsinMiddleware, require


def create_app(agent: Authenticator) -> FastAPI:
    """The service, protected by an agent of its own or by the host's sidecar."""
    app = FastAPI(title="inventory")
    app.add_middleware(TocsinMiddleware, agent=agent)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz() -> dict[str, object]:
        return agent.describe()

    @app.get("/inventory")
    def inventory(
        caller: Annotated[Verified, Depends(require("inventory:read"))],
    ) -> dict[str, object]:
        return {"stock": {"bolts": 4000}, "for": caller.subject, "worker": os.getpid()}

    return app
