"""A FastAPI service, as its developer writes it."""
# Without `from __future__ import annotations`: the routes are closures.

from typing import Annotated

from fastapi import Depends, FastAPI, Security, WebSocket

from tocsin_verifier_agent import Verified, VerifierAgent
from tocsin_verifier_agent.fastapi import (
    RESPONSES,
    Refused,
    TocsinMiddleware,
    answer_refused,
    require,
)


def fastapi_app(agent: VerifierAgent) -> FastAPI:
    app = FastAPI(title="orders")
    app.add_middleware(TocsinMiddleware, agent=agent, start_agent=False)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/orders", responses=RESPONSES)
    def orders(caller: Annotated[Verified, Depends(require("orders:read"))]) -> dict[str, str]:
        return {"of": caller.subject}

    @app.post("/orders")
    def place(
        caller: Annotated[Verified, Security(require(), scopes=["orders:write"])],
    ) -> dict[str, str]:
        return {"of": caller.subject}

    @app.get("/admin", dependencies=[Security(require("orders:admin"))])
    def admin() -> None: ...

    @app.get("/audit", dependencies=[Security(require("orders:read"), scopes=["orders:audit"])])
    def audit() -> None: ...

    @app.get("/money", dependencies=[Depends(require("orders:read", max_staleness=0.0))])
    def money() -> None: ...

    @app.get("/anybody", dependencies=[Depends(require())])
    def anybody() -> None: ...

    return app


def websocket_app(agent: VerifierAgent) -> FastAPI:
    app = FastAPI()
    app.add_middleware(TocsinMiddleware, agent=agent, start_agent=False)

    @app.websocket("/follow")
    async def follow(
        websocket: WebSocket, caller: Annotated[Verified, Depends(require("orders:read"))]
    ) -> None:
        await websocket.accept()
        await websocket.send_text(f"hello {caller.subject[:2]}")
        await websocket.receive_text()

    @app.websocket("/admin", dependencies=[Depends(require("orders:admin"))])
    async def admin(websocket: WebSocket) -> None:
        await websocket.accept()

    return app


def mounting_app(agent: VerifierAgent) -> FastAPI:
    """Two applications in one, the inner with the routes."""
    app, mounted = FastAPI(), FastAPI()
    app.add_middleware(TocsinMiddleware, agent=agent, start_agent=False)
    app.mount("/v1", mounted)
    mounted.add_exception_handler(Refused, answer_refused)

    @mounted.get("/admin", dependencies=[Depends(require("orders:admin"))])
    def admin() -> None: ...

    @mounted.websocket("/follow", dependencies=[Depends(require("orders:admin"))])
    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()

    return app
