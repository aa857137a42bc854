"""An issuer whose listeners speak TLS, and those who call it: the command line, and agents."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.certificates import Authority
from tests.support.ports import find_free
from tests.support.stack import POLICY
from tocsin_issuer.embedded import EmbeddedNats, EmbeddedValkey
from tocsin_issuer.keys import ceremony
from tocsin_issuer.service import IssuerService
from tocsin_issuer.settings import settings_from_environment
from tocsin_issuer.tls.certificate_name import CertificateName
from tocsin_schemas.errors import AgentStale, ConfigurationError, TokenRejected
from tocsin_verifier_agent.client_tls import ClientTls
from tocsin_verifier_agent.introspection import IntrospectionClient, Introspector
from tocsin_verifier_agent.meters import Meters

TOCSIN = str(Path(sys.executable).with_name("tocsin"))
SERVERS, CLIENTS = Authority("servers"), Authority("clients")
NAMES = {"operator": ["keys:read"], "asker": ["tokens:introspect"]}


@dataclass
class Site:
    service: IssuerService
    folder: Path
    public: str
    internal: str

    def admin_file(self, name: str, *, certificate: str | None = None, ca: str = "ca.pem") -> Path:
        lines = [
            f'public_url = "{self.public}"',
            f'internal_url = "{self.internal}"',
            f'client_id = "{name}"',
            f'ca = "{ca}"',
        ]
        if certificate is not None:
            lines += [f'certificate = "{certificate}.pem"', f'key = "{certificate}.key"']
        path = self.folder / "admin.toml"
        path.write_text("\n".join(lines))
        path.chmod(0o600)
        return path

    async def keys(self, file: Path) -> str:
        """What `tocsin keys list` fails with, or nothing."""
        process = await asyncio.create_subprocess_exec(
            TOCSIN, "keys", "list", "--admin-file", file, stdout=PIPE, stderr=PIPE
        )
        out, err = await process.communicate()
        assert (process.returncode == 0) == bool(out) == (not err), err
        return err.decode()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """The internal listener demands certificates, the public one takes them."""
    SERVERS.write(tmp_path / "ca.pem")
    SERVERS.server().write(tmp_path, "listener")
    CLIENTS.write(tmp_path / "clients.pem")
    for name in NAMES:
        CLIENTS.client(name).write(tmp_path, name)
    ports = {"PUBLIC": find_free(), "INTERNAL": find_free()}
    public, internal = (f"https://127.0.0.1:{port}" for port in ports.values())
    ceremony.init(tmp_path / "issuer", issuer=public, policy=POLICY, now=int(time.time()))
    with EmbeddedNats(tmp_path / "nats") as nats, EmbeddedValkey(tmp_path / "valkey") as valkey:
        environment = {
            "TOCSIN_ISSUER": public,
            "TOCSIN_AUDIENCES": "orders",
            "TOCSIN_DATA_DIR": str(tmp_path / "issuer"),
            "TOCSIN_NATS_URL": nats.url,
            "TOCSIN_NATS_CREDENTIALS_FILE": str(nats.core_credentials),
            "TOCSIN_REDIS_URL": valkey.url,
            "TOCSIN_PUBLIC_TLS_CLIENT_CERTIFICATE": "optional",
        }
        for listener, port in ports.items():
            environment |= {
                f"TOCSIN_{listener}_PORT": str(port),
                f"TOCSIN_{listener}_TLS_CERTIFICATE_FILE": str(tmp_path / "listener.pem"),
                f"TOCSIN_{listener}_TLS_KEY_FILE": str(tmp_path / "listener.key"),
                f"TOCSIN_{listener}_TLS_CLIENT_CA_FILE": str(tmp_path / "clients.pem"),
            }
        service = IssuerService(settings_from_environment(environment))
        try:
            await service.start()
            for name, scopes in NAMES.items():
                await service.accounts.clients.create_with_certificate(
                    name, [public], scopes, name=CertificateName.parse("subject_dn", f"CN={name}")
                )
            service.open()
            yield Site(service, tmp_path, public, internal)
        finally:
            await service.stop()


async def test_an_operator_shows_a_certificate_in_place_of_a_secret(site: Site) -> None:
    assert await site.keys(site.admin_file("operator", certificate="operator")) == ""
    assert "[insufficient_scope]" in await site.keys(site.admin_file("asker", certificate="asker"))
    for certificate, ca in (("operator", "clients.pem"), ("listener", "ca.pem")):
        bad = site.admin_file("operator", certificate=certificate, ca=ca)
        assert "[issuer_unreachable]" in await site.keys(bad)
    assert "[invalid_client]" in await site.keys(site.admin_file("operator"))


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("operator.pem", "client_certificate_unusable"),
        ("operator.key", "client_certificate_unusable"),
        ("ca.pem", "ca_unusable"),
    ],
)
async def test_files_that_cannot_be_used_are_named(site: Site, damage: str, code: str) -> None:
    file = site.admin_file("operator", certificate="operator")
    (site.folder / damage).write_bytes(b"not PEM")
    told = await site.keys(file)
    assert f"[{code}]" in told
    assert damage in told
    (site.folder / "operator.key").chmod(0o644)
    assert "[credentials_mode]" in await site.keys(file)


async def test_metrics_are_for_whoever_shows_a_certificate(site: Site) -> None:
    trust = ssl.create_default_context(cafile=site.folder / "ca.pem")
    async with httpx.AsyncClient(verify=trust) as nobody:
        with pytest.raises(httpx.TransportError):
            await nobody.get(f"{site.internal}/metrics")
    trust.load_cert_chain(site.folder / "asker.pem", site.folder / "asker.key")
    async with httpx.AsyncClient(verify=trust) as scraper:
        assert "tocsin_issuer_head " in (await scraper.get(f"{site.internal}/metrics")).text
        assert (await scraper.get(f"{site.public}/metrics")).status_code == 404


async def said(introspector: Introspector, token: str) -> str:
    try:
        await introspector.ask(token)
    except (TokenRejected, AgentStale) as refusal:
        return refusal.code
    return "active"


async def test_an_agent_asks_with_its_newest_certificate(site: Site) -> None:
    folder = site.folder
    tls = ClientTls(folder / "ca.pem", folder / "asker.pem", folder / "asker.key")
    client = IntrospectionClient(
        url=f"{site.internal}/oauth/introspect", client_id="asker", tls=tls
    )
    introspector = Introspector(client, Meters())
    await introspector.start()
    assert await said(introspector, "no token of ours") == "inactive"
    new = Authority("new clients")
    new.write(folder / "clients.pem")  # those of before are no longer believed
    await asyncio.sleep(1.1)  # the listener looks at its files once a second
    await introspector.stop()  # and its connection is gone
    await introspector.start()
    assert await said(introspector, "no token of ours") == "introspection_failed"
    renewed = new.client("asker")
    (folder / "asker.pem").write_bytes(renewed.pem)  # and the key is still to come
    assert await said(introspector, "no token of ours") == "introspection_failed"
    renewed.write(folder, "asker")
    assert await said(introspector, "no token of ours") == "inactive"
    await introspector.stop()


def test_an_asker_has_something_to_show() -> None:
    with pytest.raises(ConfigurationError) as refused:
        IntrospectionClient(url="https://issuer.example/", client_id="asker")
    assert refused.value.code == "introspection_client"
