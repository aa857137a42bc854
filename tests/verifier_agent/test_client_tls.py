"""The certificate that a client of ours shows: read again, and kept until a new one is whole."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tocsin_schemas.errors import ConfigurationError
from tocsin_verifier_agent.client_tls import ClientTls, CurrentTls

AUTHORITY = Authority()
LISTENER, FIRST, SECOND = AUTHORITY.server(), AUTHORITY.client("first"), AUTHORITY.client("second")


@pytest.fixture
def files(tmp_path: Path) -> ClientTls:
    return ClientTls(AUTHORITY.write(tmp_path / "ca.pem"), *FIRST.write(tmp_path, "client"))


def shown(client: ssl.SSLContext, folder: Path) -> bytes | None:
    """What a server gets to see in a handshake in memory."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*LISTENER.write(folder, "listener"))
    server.load_verify_locations(cadata=AUTHORITY.pem.decode())
    server.verify_mode = ssl.CERT_REQUIRED
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    waiting = list(ends)
    while waiting:
        for end in tuple(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass
    return ends[1].getpeercert(binary_form=True)


def test_half_of_a_pair_leaves_what_was_there(
    files: ClientTls, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    current = CurrentTls(files)
    assert shown(current.context, tmp_path) == FIRST.der
    (tmp_path / "client.pem").write_bytes(SECOND.pem)
    current.refresh()
    assert "client_certificate_unusable" in caplog.text
    assert shown(current.context, tmp_path) == FIRST.der
    (tmp_path / "client.key").unlink()
    current.refresh()
    assert shown(current.context, tmp_path) == FIRST.der
    SECOND.write(tmp_path, "client")
    current.refresh()
    assert shown(current.context, tmp_path) == SECOND.der


def test_certificate_and_key_come_together(files: ClientTls) -> None:
    for half in (ClientTls(files.ca, files.certificate), ClientTls(files.ca, key=files.key)):
        with pytest.raises(ConfigurationError) as refused:
            half.context()
        assert refused.value.code == "client_certificate_unusable"
