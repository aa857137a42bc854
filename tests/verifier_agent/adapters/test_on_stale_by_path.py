"""A path may be more lenient than the agent's file; what is behind it can only be stricter."""
# Without `from __future__ import annotations`: the routes are closures.

from wsgiref.util import setup_testing_defaults

import httpx
import pytest
from fastapi import Depends, FastAPI

from tocsin_verifier_agent import wsgi
from tocsin_verifier_agent.fastapi import TocsinMiddleware, require
from tocsin_verifier_agent.testing import LocalIssuer

PATHS = ("/reports", "/money", "/strict", "/orders")


def app(issuer: LocalIssuer) -> FastAPI:
    service = FastAPI()
    service.add_middleware(
        TocsinMiddleware,
        agent=issuer.agent,
        on_stale=dict.fromkeys(("/reports", "/money", "/strict"), "accept"),
        start_agent=False,
    )
    for path, guard in (
        ("/reports", require("a")),
        ("/money", require("a", max_staleness=15)),
        ("/strict", require("a", on_stale="reject")),
        ("/orders", require("a", on_stale="accept")),
    ):
        service.get(path, dependencies=[Depends(guard)])(lambda: {})
    return service


@pytest.mark.parametrize("stale", [False, True])
async def test_asgi(stale: bool) -> None:
    issuer = LocalIssuer()
    headers = {"Authorization": f"Bearer {issuer.mint(perms=['a'])}"}
    if stale:
        issuer.go_stale()
    transport = httpx.ASGITransport(app=app(issuer))
    async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
        found = [(await client.get(path, headers=headers)).status_code for path in PATHS]
    assert found == ([200, 503, 503, 503] if stale else [200] * 4)
    assert issuer.agent.meters.snapshot()["accepted_unproven"] == (
        {"lease_lapsed": 4} if stale else {}
    )


async def test_what_a_known_rule_hits_is_refused_on_a_lenient_path_too() -> None:
    issuer = LocalIssuer()
    token = issuer.mint(perms=["a"], sid="s-1")
    issuer.revoke_session("s-1")
    issuer.go_stale()
    transport = httpx.ASGITransport(app=app(issuer))
    async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
        answer = await client.get("/reports", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


@pytest.mark.parametrize(("path", "status"), [("/reports", "200 OK"), ("/orders", "503 ")])
def test_wsgi(path: str, status: str) -> None:
    issuer = LocalIssuer()
    token = issuer.mint(perms=["a"])
    issuer.go_stale()
    statuses: list[str] = []

    def inner(environ, start_response):  # type: ignore[no-untyped-def]
        start_response("200 OK", [])
        return [b""]

    guarded = wsgi.TocsinMiddleware(
        inner, agent=issuer.agent, on_stale={"/reports": "accept"}, start_agent=False
    )
    environ = {"PATH_INFO": path, "HTTP_AUTHORIZATION": f"Bearer {token}"}
    setup_testing_defaults(environ)
    list(guarded(environ, lambda told, _: statuses.append(told)))  # type: ignore[arg-type]
    assert statuses[0].startswith(status)
