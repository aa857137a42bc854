"""Orders calls inventory in the caller's name, tested as its developer would: no servers."""

from collections.abc import Iterator

import httpx
import pytest
from fastapi.testclient import TestClient

from examples.inventory.app import create_app as create_inventory
from examples.orders.app import create_app
from examples.orders.stock import stock_router
from tocsin_schemas.errors import ExchangeRefused, ExchangeUnavailable
from tocsin_verifier_agent.exchange import ExchangeClient
from tocsin_verifier_agent.testing import LocalExchange, LocalIssuer

PERMS = ["orders:read", "inventory:read"]


@pytest.fixture
def transport(tocsin: LocalIssuer) -> LocalExchange:
    return LocalExchange(tocsin, "orders-service")


@pytest.fixture
def client(tocsin: LocalIssuer, transport: LocalExchange) -> Iterator[TestClient]:
    inventory = create_inventory(tocsin.new_agent("inventory"))
    app = create_app(tocsin.agent)
    exchange = ExchangeClient(tocsin.agent, transport)
    to_inventory = httpx.AsyncClient(
        transport=httpx.ASGITransport(inventory), base_url="http://inventory.test"
    )
    app.include_router(stock_router(exchange, to_inventory))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def stock(client: TestClient, token: str) -> tuple[int, object]:
    answer = client.get("/orders/stock", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, answer.json() if answer.status_code == 200 else None


def test_inventory_answers_the_caller(
    tocsin: LocalIssuer, transport: LocalExchange, client: TestClient
) -> None:
    token = tocsin.mint("alice", perms=PERMS)
    for _ in range(3):
        assert stock(client, token) == (200, {"stock": {"bolts": 4000}, "for": "alice"})
    assert transport.asked == ["inventory"]


def test_a_logout_takes_effect_between_two_requests(
    tocsin: LocalIssuer, client: TestClient
) -> None:
    leaving = tocsin.mint(perms=PERMS, sid="session-1")
    staying = tocsin.mint(perms=PERMS, sid="session-2")
    assert (stock(client, leaving)[0], stock(client, staying)[0]) == (200, 200)
    tocsin.revoke_session("session-1")
    assert (stock(client, leaving)[0], stock(client, staying)[0]) == (401, 200)


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (ExchangeRefused("invalid_request", "subject_token_invalid"), 401),
        (ExchangeRefused("invalid_scope", "invalid_scope"), 403),
        (ExchangeUnavailable("exchange_unavailable", 7), 503),
        (ExchangeRefused("invalid_target", "invalid_target"), 500),
    ],
)
def test_what_the_issuer_refuses(
    tocsin: LocalIssuer,
    transport: LocalExchange,
    client: TestClient,
    refusal: ExchangeRefused | ExchangeUnavailable,
    status: int,
) -> None:
    transport.refusal = refusal
    headers = {"Authorization": f"Bearer {tocsin.mint(perms=PERMS)}"}
    answer = client.get("/orders/stock", headers=headers)
    assert answer.status_code == status
    assert answer.headers.get("Retry-After") == ("7" if status == 503 else None)
    assert ("WWW-Authenticate" in answer.headers) is (status in (401, 403))


def test_an_outage_is_503(tocsin: LocalIssuer, client: TestClient) -> None:
    token = tocsin.mint(perms=PERMS)
    assert stock(client, token)[0] == 200
    tocsin.go_stale()
    assert stock(client, token)[0] == 503
