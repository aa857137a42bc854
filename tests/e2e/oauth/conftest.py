"""One issuer process, with the clients that OAuth libraries then play."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.keys import public_jwk, signer
from tests.support.up import Up, running_up
from tocsin_issuer.exchange.policy_file import LOOK_S, POLICY_NAME
from tocsin_issuer.keys.signer import PrivateKeySigner

POLICY = """
[clients.{client}]
receives = ["orders"]

[clients.{client}.targets.inventory]
scopes = ["inventory:read"]
"""
SCOPES = ["orders:read", "tokens:introspect"]


@dataclass(frozen=True, repr=False)
class Clients:
    """``orders-service`` has a secret, ``signing-service`` a key of its own."""

    up: Up
    secret: str
    key: PrivateKeySigner


@pytest.fixture(scope="package")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    folder = tmp_path_factory.mktemp("oauth")
    issuer = folder / ".tocsin" / "issuer"
    with running_up(folder, "orders") as up:
        key = signer("ES256", "an OAuth client")
        body = {"audiences": ["orders"], "scopes": SCOPES}
        keys = {"jwks": {"keys": [public_jwk(key)]}}
        up.administer("/admin/clients", {**body, **keys, "client_id": "signing-service"})
        made = up.administer("/admin/clients", {**body, "client_id": "orders-service"})
        names = ("orders-service", "signing-service")
        (issuer / POLICY_NAME).write_text("".join(POLICY.format(client=name) for name in names))
        time.sleep(LOOK_S)
        yield Clients(up, made["client_secret"], key)
