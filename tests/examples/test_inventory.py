"""The inventory service, tested as its developer would: no servers."""

from fastapi.testclient import TestClient

from examples.inventory.app import create_app
from tocsin_verifier_agent.testing import LocalIssuer


def test_stock_is_for_those_who_may_see_it(tocsin: LocalIssuer) -> None:
    with TestClient(create_app(tocsin.agent)) as client:
        for token, expected in (
            (tocsin.mint(perms=["inventory:read"]), 200),
            (tocsin.mint(perms=["orders:read"]), 403),
            (tocsin.mint(perms=["inventory:read"], aud="orders.test"), 401),
        ):
            answer = client.get("/inventory", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == expected


def test_a_stolen_key_is_dead_at_once(tocsin: LocalIssuer) -> None:
    with TestClient(create_app(tocsin.agent)) as client:
        before = tocsin.mint(perms=["inventory:read"])
        tocsin.revoke_key()
        after = tocsin.mint(perms=["inventory:read"])
        found = [
            client.get("/inventory", headers={"Authorization": f"Bearer {token}"}).status_code
            for token in (before, after)
        ]
        assert found == [401, 200]
