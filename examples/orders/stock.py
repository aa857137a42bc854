"""Calling another service in the caller's name: its route, which the service adds to its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request

from tocsin_verifier_agent.exchange import ExchangeClient
from tocsin_verifier_agent.fastapi import require

_PASSED_ON = (401, 403, 503)


def stock_router(exchange: ExchangeClient, inventory: httpx.AsyncClient) -> APIRouter:
    """``/orders/stock``; both clients open and close with the application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with exchange, inventory:
            yield

    router = APIRouter(lifespan=lifespan)

    @router.get("/orders/stock", dependencies=[Depends(require("orders:read"))])
    async def stock(request: Request) -> dict[str, object]:
        """What inventory tells the caller; orders may not see it by itself."""
        caller = request.scope["tocsin"]
        exchanged = await caller.exchange(exchange, "inventory", ["inventory:read"])
        answer = await inventory.get("/inventory", headers=exchanged.headers)
        if not answer.is_success:
            passed_on = answer.status_code in _PASSED_ON
            raise HTTPException(answer.status_code if passed_on else 502)
        members: dict[str, object] = answer.json()
        return {"stock": members["stock"], "for": members["for"]}

    return router
