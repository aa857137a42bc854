"""One fetch, from servers that do their worst."""

from __future__ import annotations

import gzip
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.issuer.foreign.provider import Page, Provider
from tests.issuer.foreign.provider import provider as serving
from tests.support.ports import find_free
from tocsin_issuer.foreign.jwks_fetch import MAX_BYTES, JwksFetch
from tocsin_issuer.foreign.jwks_uri import check_jwks_uri
from tocsin_issuer.foreign.key_set import ImportRejected
from tocsin_schemas.errors import ConfigurationError


async def refused(uri: str, deadline_s: float = 5.0) -> str:
    with pytest.raises(ImportRejected) as caught:
        await JwksFetch(deadline_s=deadline_s)(uri)
    return caught.value.code


async def test_a_good_answer(provider: Provider) -> None:
    provider.pages["/keys"] = Page(b'{"keys":[]}')
    assert await JwksFetch()(provider.base + "/keys") == b'{"keys":[]}'
    (headers,) = provider.seen
    assert headers["Accept-Encoding"] == "identity"
    assert not {"Cookie", "Authorization"} & headers.keys()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(provider: Provider, status: int) -> None:
    provider.pages["/elsewhere"] = Page(b'{"keys":[]}')
    provider.pages["/keys"] = Page(status=status, headers={"Location": "/elsewhere"})
    assert await refused(provider.base + "/keys") == "redirect"
    assert provider.requests == {"/keys": 1}


@pytest.mark.parametrize("status", [204, 206, 400, 404, 500, 503])
async def test_only_200_counts(provider: Provider, status: int) -> None:
    provider.pages["/keys"] = Page(b"" if status == 204 else b'{"keys":[]}', status=status)
    assert await refused(provider.base + "/keys") == "status"


async def test_there_is_an_end_to_its_size(provider: Provider) -> None:
    provider.pages["/keys"] = Page(b" " * MAX_BYTES)
    assert len(await JwksFetch()(provider.base + "/keys")) == MAX_BYTES
    provider.pages["/keys"] = Page(b" " * (MAX_BYTES + 1))
    assert await refused(provider.base + "/keys") == "too_large"
    provider.pages["/endless"] = Page(drip_s=0.0, drip_bytes=65536)
    assert await refused(provider.base + "/endless", deadline_s=30.0) == "too_large"


async def test_a_slow_drip_gains_nothing(provider: Provider) -> None:
    provider.pages["/keys"] = Page(drip_s=0.05)
    started = time.monotonic()
    assert await refused(provider.base + "/keys", deadline_s=0.5) == "timeout"
    assert time.monotonic() - started < 3.0


async def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert await refused(f"http://127.0.0.1:{port}/keys", deadline_s=0.3) == "timeout"


async def test_a_small_body_does_not_become_a_large_one(provider: Provider) -> None:
    provider.pages["/keys"] = Page(
        gzip.compress(b" " * 10_000_000), headers={"Content-Encoding": "gzip"}
    )
    assert await refused(provider.base + "/keys") == "content_encoding"


async def test_nobody_there() -> None:
    assert await refused(f"http://127.0.0.1:{find_free()}/keys") == "unreachable"


async def test_no_proxy_of_the_environment(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.pages["/keys"] = Page(b"direct")
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{find_free()}")
    assert await JwksFetch()(provider.base + "/keys") == b"direct"


async def test_a_certificate_must_be_good(tmp_path: Path) -> None:
    certificate = _certificate(tmp_path)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate)
    with serving(theirs) as provider:
        provider.pages["/keys"] = Page(b"private")
        assert await refused(provider.base + "/keys") == "unreachable"
        assert provider.requests == {}
        trusting = JwksFetch(ssl.create_default_context(cafile=certificate))
        assert await trusting(provider.base + "/keys") == b"private"
        renamed = provider.base.replace("127.0.0.1", "localhost")
        with pytest.raises(ImportRejected, match="unreachable"):
            await trusting(renamed + "/keys")


def _certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "provider")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, SHA256())
    )
    path = folder / "certificate.txt"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    return path


@pytest.mark.parametrize(
    "uri",
    [
        "https://idp.example/keys",
        "https://10.1.2.3:8443/realms/x/certs?v=1",
        "http://127.0.0.1:8080/keys",
        "http://127.9.9.9/keys",
        "http://[::1]:8080/keys",
        "http://localhost/keys",
    ],
)
def test_where_keys_may_come_from(uri: str) -> None:
    check_jwks_uri(uri)


BAD_URIS = [
    "",
    "keys",
    "/keys",
    "//idp.example/keys",
    "https:///keys",
    "ftp://idp.example/keys",
    "file:///etc/passwd",
    "data:application/json,{}",
    "http://idp.example/keys",
    "http://10.1.2.3/keys",
    "http://localhost.evil.example/keys",
    "http://127.0.0.1.evil.example/keys",
    "http://127.0.0.1@evil.example/keys",
    "http://0.0.0.0/keys",
    "http://2130706433/keys",
    "https://user:secret@idp.example/keys",
    "https://idp.example/keys#fragment",
    "https://idp.example/ke ys",
    "https://idp.example\\@127.0.0.1/keys",
    "https://idp.example/\r\nX: y",
    "https://idp.example:0/keys",
    "https://idp.example:99999/keys",
    "https://[::1/keys",
    "https://ïdp.example/keys",
]


@pytest.mark.parametrize("uri", BAD_URIS)
async def test_where_they_may_not(uri: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_jwks_uri(uri)
    assert caught.value.code == "jwks_uri"
    assert await refused(uri) == "jwks_uri"
