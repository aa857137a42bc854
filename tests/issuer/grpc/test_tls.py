"""TLS of the gRPC listener: a client certificate is demanded, and certificates change in place."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.issuer.grpc.conftest import make_listener
from tests.issuer.http.exchange_services import Services
from tests.support.certificates import SERVER, Authority, Issued, name_of
from tocsin_issuer.exchange import policy
from tocsin_issuer.grpc.listener import GrpcListener
from tocsin_issuer.tls.certificate_name import CertificateName
from tocsin_issuer.tls.material import TlsMaterial
from tocsin_schemas.confirmation import thumbprint
from tocsin_schemas.errors import ExchangeRefused, ExchangeUnavailable
from tocsin_verifier_agent.client_tls import ClientTls
from tocsin_verifier_agent.exchange.grpc import GrpcExchange
from tocsin_verifier_agent.exchange.transport import ExchangedToken, Question
from tocsin_verifier_agent.issuer_access import IssuerAccess

CERTIFIED = "certified-service"
POLICY = b"""
[clients.certified-service]
receives = ["orders"]
[clients.certified-service.targets.inventory]
"""


class Site:
    """A listener whose certificates a test may replace, and its clients."""

    def __init__(
        self, services: Services, folder: Path, subject_token: str, *, demanded: bool = True
    ) -> None:
        self.services = services
        self.folder = folder
        self.question = Question(subject_token, "inventory", None)
        self.servers, self.clients = Authority("servers"), Authority("clients")
        self.demanded = demanded
        self.material = self.made(self.servers.server())
        self.listener: GrpcListener = make_listener(services, certificates=lambda: self.material)
        self.listener.start()

    def made(self, server: Issued) -> TlsMaterial:
        return TlsMaterial(
            server.pem,
            server.key_pem,
            self.clients.pem,
            self.demanded,
            not_before=0,
            not_after=2**40,
        )

    async def exchange(
        self,
        client: Issued | None,
        authority: Authority | None = None,
        *,
        by_certificate: bool = False,
    ) -> str:
        """``exchanged``, or the code of why not; as one client, or the other."""
        transport = self.transport(client, authority, by_certificate=by_certificate)
        await transport.open()
        try:
            self.exchanged = await transport.exchange(self.question)
        except (ExchangeUnavailable, ExchangeRefused) as error:
            return error.code
        finally:
            await transport.close()
        return "exchanged"

    def transport(
        self,
        client: Issued | None,
        authority: Authority | None = None,
        *,
        by_certificate: bool = False,
    ) -> GrpcExchange:
        tls: dict[str, Any] = {"ca": (authority or self.servers).write(self.folder / "ca.pem")}
        if client is not None:
            tls["certificate"], tls["key"] = client.write(self.folder, "client")
        return GrpcExchange(
            IssuerAccess(
                url=f"https://localhost:{self.listener.port}",
                client_id=CERTIFIED if by_certificate else "orders-service",
                client_secret=None if by_certificate else self.services.secrets["orders-service"],
                tls=ClientTls(**tls),
            )
        )

    async def register_certified(self) -> None:
        name = CertificateName.parse("subject_dn", "CN=certified")
        await self.services.issuer.clients.create_with_certificate(CERTIFIED, ["orders"], name=name)
        self.services.policy = policy.parse(POLICY, "the test's")

    def check_bound(self, exchanged: ExchangedToken, issued: Issued) -> None:
        """It is bound to that certificate and no other."""
        verifier = self.services.issuer.of_any_audience
        verified = verifier.verify(exchanged.token, certificate=issued.der)
        assert verified.bound_to == thumbprint(issued.der)

    async def serial(self) -> int:
        """Of the certificate that the listener shows now."""
        pem = await asyncio.to_thread(
            ssl.get_server_certificate, ("127.0.0.1", self.listener.port), timeout=5
        )
        return x509.load_pem_x509_certificate(pem.encode()).serial_number


@pytest.fixture
async def site(services: Services, subject: dict[str, Any], tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(services, tmp_path, subject["access_token"])
    yield site
    await site.listener.stop()


async def test_a_client_certificate_is_demanded(site: Site) -> None:
    assert await site.exchange(site.clients.client()) == "exchanged"
    assert await site.exchange(None) == "exchange_failed"
    name = name_of("orders-service")
    for wrong in (
        Authority("others").client(),
        site.clients.issue(name, usage=SERVER),
        site.clients.issue(name, days=(-2, -1)),
        site.clients.issue(name, days=(1, 2)),
    ):
        assert await site.exchange(wrong) == "exchange_failed"
    assert await site.exchange(site.clients.client(), Authority("others")) == "exchange_failed"


async def test_a_client_is_known_by_its_certificate(site: Site) -> None:
    """RFC 8705: by its name in it, and the token that it gets is bound to it."""
    await site.register_certified()
    certified, other = site.clients.client("certified"), site.clients.client("another")
    assert await site.exchange(certified, by_certificate=True) == "exchanged"
    site.check_bound(site.exchanged, certified)
    assert await site.exchange(other, by_certificate=True) == "invalid_client"


async def test_a_client_shows_its_new_certificate(site: Site, tmp_path: Path) -> None:
    """A service whose certificate lives for an hour does not restart for the next one."""
    await site.register_certified()
    first, renewed = site.clients.client("certified"), site.clients.client("certified")
    transport = site.transport(first, by_certificate=True)
    await transport.open()
    site.check_bound(await transport.exchange(site.question), first)
    (tmp_path / "client.pem").write_bytes(renewed.pem)
    site.check_bound(await transport.exchange(site.question), first)  # half of a pair is not shown
    (tmp_path / "client.key").write_bytes(renewed.key_pem)
    site.check_bound(await transport.exchange(site.question), renewed)
    await transport.close()


async def test_certificates_change_without_a_restart(site: Site) -> None:
    renewed = site.servers.server()
    assert await site.serial() != renewed.certificate.serial_number
    site.material = site.made(renewed)
    assert await site.serial() == renewed.certificate.serial_number
    assert await site.exchange(site.clients.client()) == "exchanged"
    former = site.clients
    site.clients = Authority("new clients")
    site.material = site.made(renewed)
    assert await site.exchange(former.client()) == "exchange_failed"
    assert await site.exchange(site.clients.client()) == "exchanged"


async def test_none_is_asked_for_where_none_is_demanded(
    services: Services, subject: dict[str, Any], tmp_path: Path
) -> None:
    site = Site(services, tmp_path, subject["access_token"], demanded=False)
    assert await site.exchange(None) == "exchanged"
    await site.listener.stop()


async def test_a_handshake_that_is_not_begun(services: Services, site: Site) -> None:
    listener = make_listener(services, certificates=lambda: site.material, head_timeout_s=0.4)
    listener.start()
    await asyncio.sleep(0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    async with asyncio.timeout(3):
        while await reader.read(1024):  # it may say its own part
            pass
    writer.close()
    await listener.stop()
