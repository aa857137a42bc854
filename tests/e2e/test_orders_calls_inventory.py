"""The example: orders calls inventory in its caller's name, and what ends the caller ends that too.

Over HTTP and over gRPC, on real servers; each service has an agent of its own.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from examples.inventory.app import create_app as create_inventory
from examples.orders.app import create_app as create_orders
from examples.orders.stock import stock_router
from tests.e2e.conftest import LEASE_S, Stack
from tests.support.keys import private_pem, public_jwk, signer
from tests.support.rejected import rejected
from tests.support.stack import running_stack
from tests.verifier_agent.adapters.processes import python, web_server
from tocsin_issuer.exchange.policy_file import LOOK_S, POLICY_NAME
from tocsin_schemas.errors import AgentStale, ExchangeRefused
from tocsin_schemas.private_key import PrivateKeySigner
from tocsin_verifier_agent import Verified, VerifierAgent
from tocsin_verifier_agent.exchange import ExchangeClient

POLICY = """
[clients.orders-service]
receives = ["orders"]

[clients.orders-service.targets.inventory]
scopes = ["inventory:read"]
"""


@dataclass
class Site:
    """Both services."""

    stack: Stack
    agents: tuple[VerifierAgent, VerifierAgent]
    exchange: ExchangeClient
    orders: httpx.AsyncClient

    async def stock(self, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        answer = await self.orders.get("/orders/stock", headers=headers)
        if answer.status_code == 200:
            assert answer.json()["stock"] == {"bolts": 4000}
        return answer.status_code

    async def exchanged(self, token: str) -> str:
        """The token that orders sends to inventory."""
        return (await self.exchange.exchange(token, "inventory", ["inventory:read"])).token


async def allow_orders(stack: Stack, transport: str, key: PrivateKeySigner | None = None) -> Path:
    """As docs/token-exchange.md says: a client, a policy, a section of the service's file. With
    ``key`` the client signs assertions in place of showing a secret.
    """
    body: dict[str, object] = {"client_id": "orders-service", "audiences": ["orders"]}
    if key is not None:
        body["jwks"] = {"keys": [public_jwk(key)]}
    made = await stack.admin("POST", "/admin/clients", body)
    assert made.status_code == 201, made.text
    (stack.folder / ".tocsin" / "issuer" / POLICY_NAME).write_text(POLICY)
    await asyncio.sleep(LOOK_S)
    shown = made.json()["client_secret"].encode() if key is None else private_pem(key)
    (stack.folder / "orders.secret").write_bytes(shown)
    (stack.folder / "orders.secret").chmod(0o600)
    service = stack.development.service
    grpc_port = service._listeners[-1].port  # pyright: ignore[reportPrivateUsage]
    urls = {
        "http": f"{stack.development.internal_url}/oauth/token",
        "grpc": f"http://127.0.0.1:{grpc_port}",
    }
    path = stack.folder / "orders.tocsin"
    with path.open("a") as file:
        file.write(
            f"""
[exchange]
url = "{urls[transport]}"
transport = "{transport}"
client_id = "orders-service"
{"client_secret_file" if key is None else "assertion_key_file"} = "orders.secret"
"""
        )
    return path


@asynccontextmanager
async def running_site(
    folder: Path, transport: str, more: str = "", key: PrivateKeySigner | None = None
) -> AsyncIterator[Site]:
    """``more`` is for the file of orders; ``key`` as for :func:`allow_orders`."""
    async with running_stack(folder) as stack:
        path = await allow_orders(stack, transport, key)
        path.write_text(path.read_text() + more)
        agents = stack.agent(), stack.agent("inventory")
        exchange = ExchangeClient.from_file(agents[0], path)
        inventory = httpx.AsyncClient(
            transport=httpx.ASGITransport(create_inventory(agents[1])), base_url="http://inventory"
        )
        app = create_orders(agents[0])
        app.include_router(stock_router(exchange, inventory))
        # The transport runs no lifespan, so agents and clients are opened here.
        async with (
            agents[0],
            agents[1],
            exchange,
            inventory,
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://orders"
            ) as orders,
        ):
            yield Site(stack, agents, exchange, orders)


@pytest.fixture(params=["http", "grpc"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path, request.param) as site:
        yield site


Named = Callable[[str, Verified], dict[str, object]]
KILLS: dict[str, Named] = {
    "jti": lambda token, _: {"by": "token", "token": token},
    "sid": lambda _, verified: {"by": "session", "sid": verified.session_id},
    "sub": lambda _, verified: {"by": "subject", "sub": verified.subject},
    "client": lambda _, verified: {"by": "client", "client_id": verified.client_id},
    "everything": lambda *_: {"by": "all"},
}


async def revoke(site: Site, body: dict[str, object]) -> None:
    answer = await site.stack.admin("POST", "/admin/revocations", body)
    assert answer.status_code == 200, answer.text


async def test_whatever_ends_the_caller_ends_what_was_exchanged(site: Site) -> None:
    for name, named in KILLS.items():
        token = (await site.stack.log_in())["access_token"]
        for _ in range(2):
            assert await site.stock(token) == 200, name
        exchanged = await site.exchanged(token)
        await revoke(site, named(token, site.agents[0].verify(token)))
        assert await rejected(site.agents[0], token) != "accepted", name
        assert await site.stock(token) == 401, name
        assert await rejected(site.agents[1], exchanged) != "accepted", name


async def test_a_client_that_is_cut_off_takes_its_exchanged_tokens_along(site: Site) -> None:
    """The caller's own token is not hit, and nothing more is exchanged for it."""
    token = (await site.stack.log_in())["access_token"]
    exchanged = await site.exchanged(token)
    await revoke(site, {"by": "client", "client_id": "orders-service"})
    assert await rejected(site.agents[1], exchanged) == "client_revoked"
    site.agents[0].verify(token)
    with pytest.raises(ExchangeRefused) as caught:
        await site.exchanged(token)
    assert (caught.value.error, caught.value.code) == ("invalid_request", "subject_token_invalid")
    await asyncio.sleep(1)  # a cutoff takes the rest of its second along
    assert await site.stock((await site.stack.log_in())["access_token"]) == 200


async def test_while_every_agent_lags_behind(site: Site) -> None:
    """No ledger: the logout waits in the outbox, and neither the issuer's agent nor ours knows."""
    first, other = [(await site.stack.log_in())["access_token"] for _ in range(2)]
    exchanged = await site.exchanged(first)
    site.stack.nats.kill()
    leaving = [
        asyncio.create_task(site.stack.post("/v1/logout", token)) for token in (first, other)
    ]
    await asyncio.sleep(
        0.3
    )  # they are in the outbox, and answered when the wait for the ledger ends
    site.agents[0].verify(other)
    assert await site.stock(other) == 401, "the issuer looks where revocations are accepted"
    site.agents[1].verify(exchanged)  # within the lease, and no longer
    assert [answer.status_code for answer in await asyncio.gather(*leaving)] == [202, 202]
    await asyncio.sleep(LEASE_S)
    with pytest.raises(AgentStale):
        site.agents[1].verify(exchanged)
    assert await site.stock(first) == 503
    site.stack.nats.start()
    for agent, token in ((site.agents[0], first), (site.agents[1], exchanged)):
        assert await until_live(agent, token) == "session_revoked"
    assert await site.stock(first) == 401


@pytest.mark.parametrize(("transport", "alg"), [("http", "RS256"), ("grpc", "Ed25519")])
async def test_with_a_key_in_place_of_a_secret(tmp_path: Path, transport: str, alg: str) -> None:
    """Each request has an assertion of its own. A new key is registered, and put in the old one's
    place, while all goes on.
    """
    first, second = signer(alg), signer("ES256", "the next")
    async with running_site(tmp_path, transport, key=first) as site:
        for _ in range(3):
            token = (await site.stack.log_in())["access_token"]
            assert await site.stock(token) == 200
            await site.exchanged(token)
        body: dict[str, object] = {"jwks": {"keys": [public_jwk(second)]}}
        path = "/admin/clients/orders-service/keys"
        assert (await site.stack.admin("PUT", path, body)).status_code == 200
        await asyncio.sleep(1)  # a cutoff takes the rest of its second along
        token = (await site.stack.log_in())["access_token"]
        with pytest.raises(ExchangeRefused) as caught:
            await site.exchanged(token)
        assert caught.value.error == "invalid_client"
        (tmp_path / "orders.secret").write_bytes(private_pem(second))
        assert await site.stock(token) == 200


async def test_a_service_that_observes_is_not_observed_by_the_issuer(tmp_path: Path) -> None:
    """Orders only counts what the ledger says; the issuer trades nothing for a revoked caller, and
    listens to no revoked operator.
    """
    async with running_site(tmp_path, "http", '[policy]\nmode = "observe"\n') as site:
        stack, orders = site.stack, site.agents[0]
        token, operator = (await stack.log_in())["access_token"], await stack.operator_token()
        exchanged = await site.exchanged(token)
        await revoke(site, {"by": "session", "sid": orders.verify(token).session_id})
        assert await rejected(site.agents[1], exchanged) == "session_revoked"
        assert orders.verify(token).would_deny == "session_revoked"
        with pytest.raises(ExchangeRefused) as caught:
            await site.exchanged(token)
        assert caught.value.code == "subject_token_invalid"

        admin = tomllib.loads(stack.secrets.admin_file.read_text())["client_id"]
        await revoke(site, {"by": "client", "client_id": admin})
        answer = await stack.http.get(
            f"{stack.development.internal_url}/admin/keys",
            headers={"Authorization": f"Bearer {operator}"},
        )
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


async def test_as_processes_of_their_own(tmp_path: Path) -> None:
    def command(app: str) -> Callable[[int], list[str]]:
        return lambda port: python("uvicorn", "--log-level", "warning", "--port", str(port), app)

    async with running_stack(tmp_path) as stack, httpx.AsyncClient(timeout=10) as client:
        await allow_orders(stack, "http")
        file = str(tmp_path / "inventory.tocsin")
        async with (
            web_server(command("examples.inventory.service:app"), stack, TOCSIN_FILE=file) as url,
            web_server(
                command("examples.orders.stock_service:app"), stack, INVENTORY_URL=url
            ) as orders,
        ):
            token = (await stack.log_in())["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            answer = await client.get(f"{orders}/orders/stock", headers=headers)
            assert (answer.status_code, answer.json()["stock"]) == (200, {"bolts": 4000})
            assert (await stack.post("/v1/logout", token)).status_code == 200
            async with asyncio.timeout(3):
                while answer.status_code == 200:
                    answer = await client.get(f"{orders}/orders/stock", headers=headers)
            assert answer.status_code == 401


async def until_live(agent: VerifierAgent, token: str) -> str:
    for _ in range(1000):
        if agent.status().state.value == "live":
            return await rejected(agent, token)
        await asyncio.sleep(0.02)
    return "stale"
