"""The adapters on a live agent: what callers see (RFC 6750)."""

from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI

from tests.e2e.conftest import Stack
from tocsin_verifier_agent import Verified
from tocsin_verifier_agent.fastapi import TocsinMiddleware, require


@pytest.fixture
async def service(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    agent = stack.agent()
    app.add_middleware(TocsinMiddleware, agent=agent)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/orders")
    def orders(caller: Annotated[Verified, Depends(require("orders:read"))]) -> dict[str, str]:
        return {"of": caller.subject}

    @app.get("/admin", dependencies=[Depends(require("orders:admin"))])
    def admin() -> None: ...

    @app.get("/money", dependencies=[Depends(require("orders:write", max_staleness=0.0))])
    def money() -> None: ...

    async with agent:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
            yield client


async def test_what_callers_see(stack: Stack, service: httpx.AsyncClient) -> None:
    login = await stack.log_in()
    good = {"Authorization": f"Bearer {login['access_token']}"}

    answer = await service.get("/orders", headers=good)
    assert (answer.status_code, answer.json()["of"][:2]) == (200, "u_")

    answer = await service.get("/orders")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="tocsin"'

    texts = set()
    tampered = login["access_token"][:-4] + "AAAA"
    for token in ("nonsense", tampered, "a.b.c", "\N{LATIN SMALL LETTER E WITH ACUTE}"):
        headers = {b"Authorization": f"Bearer {token}".encode()}
        answer = await service.get("/orders", headers=headers)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        texts.add(answer.text)
    assert len(texts) == 1

    answer = await service.get("/admin", headers=good)
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]

    answer = await service.get("/money", headers=good)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")

    assert (await service.get("/healthz")).status_code == 200


async def test_two_authorization_headers_are_refused(
    stack: Stack, service: httpx.AsyncClient
) -> None:
    login = await stack.log_in()
    value = f"Bearer {login['access_token']}"
    answer = await service.get(
        "/orders", headers=[("Authorization", value), ("Authorization", value)]
    )
    assert answer.status_code == 401


async def test_a_stale_agent_answers_503(stack: Stack) -> None:
    app = FastAPI()
    app.add_middleware(TocsinMiddleware, agent=stack.agent())  # never started: it has no lease
    login = await stack.log_in()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://orders"
    ) as client:
        for token in (login["access_token"], "nonsense"):
            answer = await client.get("/x", headers={"Authorization": f"Bearer {token}"})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await client.get("/healthz")).status_code == 404
