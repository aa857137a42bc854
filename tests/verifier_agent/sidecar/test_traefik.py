"""ForwardAuth as Traefik documents it, with what the committed configuration says.

No Traefik is at hand in the tests. What it does with a request is played by a few lines here: it
asks with GET and X-Forwarded-*, passes on every answer but 2xx, and in the request to the backend
deletes each of `authResponseHeaders` and sets those that the answer has.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.support.ports import find_free
from tests.verifier_agent.sidecar import running
from tests.verifier_agent.sidecar.conftest import Host
from tests.verifier_agent.sidecar.running import Answer, ask, bearer
from tests.verifier_agent.sidecar.smuggling import FORGED, attempts
from tocsin_verifier_agent.sidecar import headers

pytestmark = pytest.mark.asyncio(loop_scope="module")
CONFIGURATION: Any = yaml.safe_load(
    (Path(__file__).parents[3] / "examples" / "proxies" / "traefik.yaml").read_text()
)
MIDDLEWARES = CONFIGURATION["http"]["middlewares"]
ADDRESS = "http://127.0.0.1:9191"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port(host: Host, folder: Path) -> AsyncIterator[int]:
    """A sidecar on loopback: Traefik does not speak to Unix sockets here."""
    number = find_free()
    async with running.sidecar(folder, "orders", "--listen", f"127.0.0.1:{number}"):
        yield number


class Traefik:
    """One ForwardAuth middleware behind one entry point."""

    def __init__(self, middleware: str, port: int, backend: int) -> None:
        self.auth = MIDDLEWARES[middleware]["forwardAuth"]
        self.entry_point = CONFIGURATION["entryPoints"]["web"]["http"]
        self.removed = MIDDLEWARES["no-token"]["headers"]["customRequestHeaders"]
        self.port = port
        self.backend = backend

    async def request(self, path: str, *sent: tuple[str, str], method: str = "GET") -> Answer:
        fields = list(sent)
        if self.entry_point["aliasHeadersStrategy"] == "delete":
            fields = [one for one in fields if one[0].replace("-", "").isalnum()]
        allowed = {name.lower() for name in self.auth["authRequestHeaders"]}
        forwarded = [one for one in fields if one[0].lower() in allowed] + [
            ("X-Forwarded-Method", method),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", "orders.example"),
            ("X-Forwarded-Uri", path),
            ("X-Forwarded-For", "192.0.2.1"),
        ]
        where = self.auth["address"].removeprefix(ADDRESS)
        verdict = await asyncio.to_thread(ask, self.port, where, forwarded)
        if not 200 <= verdict.status < 300:
            return verdict
        for name in self.auth["authResponseHeaders"]:
            fields = [one for one in fields if one[0].lower() != name.lower()]
            if name.lower() in verdict.headers:
                fields.append((name, verdict.headers[name.lower()]))
        assert set(self.removed.values()) == {""}, "an empty value removes a header"
        gone = {name.lower() for name in self.removed}
        fields = [one for one in fields if one[0].lower() not in gone]
        return await asyncio.to_thread(ask, self.backend, path, fields, method)


@pytest.fixture
def orders(port: int, backend: int) -> Traefik:
    return Traefik("tocsin", port, backend)


@pytest.fixture
def admin(port: int, backend: int) -> Traefik:
    return Traefik("tocsin-admin", port, backend)


async def test_the_configuration_names_every_header() -> None:
    for name in ("tocsin", "tocsin-admin"):
        auth = MIDDLEWARES[name]["forwardAuth"]
        assert tuple(auth["authResponseHeaders"]) == headers.NAMES
        assert auth["address"].startswith(f"{ADDRESS}/auth")
        assert auth["trustForwardHeader"] is False
    for router in CONFIGURATION["http"]["routers"].values():
        protected = set(router.get("middlewares", ())) & {"tocsin", "tocsin-admin"}
        assert protected or router["rule"] == "Path(`/healthz`)"


async def test_the_claims_reach_the_backend(host: Host, orders: Traefik) -> None:
    token = await host.token()
    answer = await orders.request("/orders/1", bearer(token), method="POST")
    assert answer.status == 200
    assert answer.claims().keys() == {name.lower() for name in headers.NAMES}
    assert answer.claims()["x-tocsin-unproven"] == ""
    assert "authorization" not in {name.lower() for name, _ in answer.echoed}


async def test_nothing_forged_reaches_the_backend(host: Host, orders: Traefik) -> None:
    token = await host.token()
    good = (await orders.request("/orders", bearer(token))).claims()
    for name, fields in attempts():
        answer = await orders.request("/orders", bearer(token), *fields)
        assert FORGED.encode() not in answer.body, name
        given = answer.claims()
        for one in (given, good):
            one.pop("x-tocsin-valid-until", None)
        assert given == good, name


async def test_refusals_pass_through(host: Host, orders: Traefik, admin: Traefik) -> None:
    token = await host.token()
    assert (await orders.request("/orders")).status == 401
    answer = await orders.request("/orders", bearer("nonsense"))
    assert (answer.status, answer.headers["content-type"]) == (401, "application/json")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    answer = await admin.request("/admin?require=orders:read", bearer(token))
    assert answer.status == 403
    assert 'scope="orders:admin"' in answer.headers["www-authenticate"]
    assert (await orders.request("/orders?require=no:such", bearer(token))).status == 200
