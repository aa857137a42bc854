"""The orders service, tested as its developer would: no servers."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from examples.orders.app import create_app
from tocsin_verifier_agent.testing import LocalIssuer


@pytest.fixture
def client(tocsin: LocalIssuer) -> Iterator[TestClient]:
    with TestClient(create_app(tocsin.agent)) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def status(client: TestClient, token: str, method: str = "GET") -> int:
    answer: Any = client.request(method, "/orders", headers=bearer(token))
    code: int = answer.status_code
    return code


def test_a_caller_sees_orders(tocsin: LocalIssuer, client: TestClient) -> None:
    token = tocsin.mint(sub="alice", perms=["orders:read"])
    answer = client.get("/orders", headers=bearer(token))
    assert (answer.status_code, answer.json()["of"]) == (200, "alice")
    assert answer.json()["orders"] == ["A-1001", "A-1002"]


def test_permissions_decide(tocsin: LocalIssuer, client: TestClient) -> None:
    reader = tocsin.mint(perms=["orders:read"])
    writer = tocsin.mint(scope="orders:read orders:write")
    assert (status(client, reader), status(client, reader, "POST")) == (200, 403)
    assert (status(client, writer), status(client, writer, "POST")) == (200, 200)


def test_no_token_and_a_token_for_somebody_else(tocsin: LocalIssuer, client: TestClient) -> None:
    assert client.get("/orders").status_code == 401
    stranger = LocalIssuer()
    assert status(client, stranger.mint(perms=["orders:read"])) == 401
    assert status(client, tocsin.mint(perms=["orders:read"], aud="inventory.test")) == 401


def test_a_logout_takes_effect_between_two_requests(
    tocsin: LocalIssuer, client: TestClient
) -> None:
    leaving = tocsin.mint(perms=["orders:read"], sid="session-1")
    staying = tocsin.mint(perms=["orders:read"], sid="session-2")
    assert status(client, leaving) == 200
    tocsin.revoke_session("session-1")
    assert (status(client, leaving), status(client, staying)) == (401, 200)


def test_orders_are_placed_only_with_a_fresh_proof(tocsin: LocalIssuer, client: TestClient) -> None:
    token = tocsin.mint(perms=["orders:read", "orders:write"])
    tocsin.cut_off()
    tocsin.advance(15)
    assert status(client, token, "POST") == 200
    tocsin.advance(1)
    assert (status(client, token), status(client, token, "POST")) == (200, 503)
    tocsin.come_back()
    assert status(client, token, "POST") == 200


def test_an_outage_is_503_and_not_401(tocsin: LocalIssuer, client: TestClient) -> None:
    token = tocsin.mint(perms=["orders:read"])
    tocsin.go_stale()
    assert status(client, token) == 503
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").json()["state"] == "stale"
    tocsin.come_back()
    assert status(client, token) == 200
