"""Real listeners, with certificates that change under them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse

from tests.support.certificates import SERVER, Authority, Issued, name_of
from tocsin_issuer.http.connection import ConnectionLimits
from tocsin_issuer.http.server import Listener
from tocsin_issuer.tls import material, watch
from tocsin_issuer.tls.files import ClientCertificate, TlsFiles
from tocsin_issuer.tls.server_context import server_context

SERVERS, CLIENTS = Authority("servers"), Authority("clients")
FIRST, ORDERS = SERVERS.server("first"), CLIENTS.client("orders")


async def told(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what the application is told of the connection."""
    tls = Request(scope).scope.get("extensions", {}).get("tls")
    await JSONResponse({"scheme": scope["scheme"], "tls": tls})(scope, receive, send)


class Place:
    """A listener, and the folder that its files lie in."""

    def __init__(self, folder: Path, client_certificate: ClientCertificate | None) -> None:
        certificate, key = FIRST.write(folder, "listener")
        self.files = TlsFiles(certificate=certificate, key=key)
        if client_certificate is not None:
            self.files = TlsFiles(
                certificate=certificate,
                key=key,
                client_ca=CLIENTS.write(folder / "clients.pem"),
                client_certificate=client_certificate,
            )
        self.folder = folder
        limits = ConnectionLimits(32 * 1024, 10.0, 100, 5)
        self.listener = Listener(told, "127.0.0.1", 0, limits, self.files)
        self.listener.start()

    def context(
        self, issued: Issued | None = None, versions: tuple[ssl.TLSVersion, ...] = ()
    ) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=SERVERS.pem.decode())
        if issued is not None:
            context.load_cert_chain(*issued.write(self.folder, "client"))
        if versions:
            context.minimum_version, context.maximum_version = min(versions), max(versions)
        return context

    async def get(
        self, issued: Issued | None = None, context: ssl.SSLContext | None = None
    ) -> dict[str, Any]:
        """What one request on a connection of its own is told."""
        async with httpx.AsyncClient(
            verify=self.context(issued) if context is None else context, trust_env=False
        ) as client:
            answer = await client.get(f"https://127.0.0.1:{self.listener.port}/")
        members: dict[str, Any] = answer.json()
        return members

    async def shown(self) -> bytes | None:
        """The certificate that the listener shows."""
        _, writer = await asyncio.open_connection(
            "127.0.0.1", self.listener.port, ssl=self.context()
        )
        found: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return found


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_S", 0.0)


@pytest.fixture
async def public(tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(tmp_path, None)
    yield place
    await place.listener.stop()


@pytest.fixture
async def open_to_all(tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(tmp_path, "optional")
    yield place
    await place.listener.stop()


@pytest.fixture
async def internal(tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(tmp_path, "required")
    yield place
    await place.listener.stop()


# --- what is spoken -----------------------------------------------------------------------------


async def test_a_request_over_tls(public: Place) -> None:
    found = await public.get(ORDERS)  # nobody asks for it, so it is not shown
    assert found["scheme"] == "https"
    assert found["tls"] == {
        "server_cert": None,
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": 0x0304,
        "cipher_suite": 0x1302,
    }


async def test_a_client_says_who_it_is(internal: Place) -> None:
    found = (await internal.get(ORDERS))["tls"]
    assert found["client_cert_chain"] == [ORDERS.pem.decode()]
    assert found["client_cert_name"] == "CN=orders"
    assert found["client_cert_error"] is None


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_nothing_older_than_tls_1_2(internal: Place) -> None:
    one_2 = internal.context(ORDERS, (ssl.TLSVersion.TLSv1_2,))
    assert (await internal.get(context=one_2))["tls"]["tls_version"] == 0x0303
    older = internal.context(ORDERS, (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1))
    older.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(httpx.ConnectError):
        await internal.get(context=older)
    # Whatever the library's level of security refuses by itself.
    made = server_context(internal.files, material.load(internal.files))
    assert made.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_no_plain_http_on_a_tls_listener(internal: Place) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.TransportError):
            await client.get(f"http://127.0.0.1:{internal.listener.port}/")


# --- who may come in ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "issued",
    [
        None,
        Authority("clients").client("orders"),
        CLIENTS.issue(name_of("orders"), usage=SERVER),
        CLIENTS.issue(name_of("orders"), days=(-2, -1)),
        CLIENTS.issue(name_of("orders"), days=(1, 2)),
    ],
    ids=["none", "of another authority", "for a server", "expired", "not yet"],
)
async def test_a_client_certificate_is_demanded(internal: Place, issued: Issued | None) -> None:
    with pytest.raises(httpx.TransportError):
        await internal.get(issued)
    assert (await internal.get(ORDERS))["tls"]["client_cert_chain"]


async def test_where_it_is_optional_a_bad_one_is_refused_all_the_same(open_to_all: Place) -> None:
    assert (await open_to_all.get())["tls"]["client_cert_chain"] == []
    assert (await open_to_all.get(ORDERS))["tls"]["client_cert_chain"]
    with pytest.raises(httpx.TransportError):
        await open_to_all.get(Authority("clients").client("orders"))


# --- what changes under them --------------------------------------------------------------------


async def test_a_new_certificate_serves_the_next_connection(public: Place) -> None:
    assert await public.shown() == FIRST.der
    second = SERVERS.server("second")
    second.write(public.folder, "listener")
    assert await public.shown() == second.der


async def test_broken_files_leave_the_last_good_ones(
    public: Place, caplog: pytest.LogCaptureFixture
) -> None:
    second = SERVERS.server("second")
    public.files.certificate.write_bytes(second.pem)  # and the key is still to come
    assert await public.shown() == FIRST.der
    assert "tls_key_mismatch" in caplog.text
    public.files.key.write_bytes(b"")
    assert await public.shown() == FIRST.der
    assert "tls_key_malformed" in caplog.text
    public.files.key.write_bytes(second.key_pem)
    assert await public.shown() == second.der


async def test_clients_of_an_authority_that_is_taken_out_stay_out(internal: Place) -> None:
    other = Authority("others")
    payments = other.client("payments")
    with pytest.raises(httpx.TransportError):
        await internal.get(payments)
    other.write(internal.folder / "clients.pem")
    assert (await internal.get(payments))["tls"]["client_cert_name"] == "CN=payments"
    with pytest.raises(httpx.TransportError):
        await internal.get(ORDERS)


async def test_nor_do_they_stay_on_a_connection_of_before(internal: Place) -> None:
    url = f"https://127.0.0.1:{internal.listener.port}/"
    async with httpx.AsyncClient(verify=internal.context(ORDERS), trust_env=False) as client:
        assert (await client.get(url)).status_code == 200
        Authority("others").write(internal.folder / "clients.pem")
        await asyncio.sleep(0.5)  # idle connections are closed within a tenth of a second
        with pytest.raises(httpx.TransportError):
            for _ in range(2):  # the first may still find the connection closing
                await client.get(url)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_nor_do_they_come_back_by_a_session_of_before(
    internal: Place, version: ssl.TLSVersion
) -> None:
    context = internal.context(ORDERS, (version,))

    def ask(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool]:
        with (
            socket.create_connection(("127.0.0.1", internal.listener.port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as tls,
        ):
            tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := tls.recv(65536):
                answer += piece
            assert b"200 OK" in answer
            return tls.session, bool(tls.session_reused)

    session, _ = await asyncio.to_thread(ask, None)
    assert (await asyncio.to_thread(ask, session))[1]  # this is a session that would be taken up
    Authority("others").write(internal.folder / "clients.pem")
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        await asyncio.to_thread(ask, session)
