"""Certificate files: read as one, checked against each other, and kept when new ones are bad."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from tests.support.certificates import SERVER, Authority, Issued, name_of
from tocsin_issuer.settings import checked_config, settings_from_environment
from tocsin_issuer.tls.files import TlsFiles
from tocsin_issuer.tls.material import MAX_FILE_BYTES, load
from tocsin_issuer.tls.watch import LOOK_S, WatchedTls
from tocsin_schemas.errors import ConfigurationError

AUTHORITY = Authority()
FIRST, SECOND = AUTHORITY.server("first"), AUTHORITY.server("second")


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    certificate, key = FIRST.write(tmp_path, "listener")
    return TlsFiles(
        certificate=certificate, key=key, client_ca=AUTHORITY.write(tmp_path / "ca.pem")
    )


def test_what_is_read(files: TlsFiles) -> None:
    found = load(files)
    assert found.certificate_chain == FIRST.pem
    assert found.private_key == FIRST.key_pem
    assert found.client_ca == AUTHORITY.pem
    assert found.demanded
    assert not load(files.model_copy(update={"client_certificate": "optional"})).demanded
    without = load(files.model_copy(update={"client_ca": None}))
    assert without.client_ca is None
    assert not without.demanded
    assert found.not_before < found.not_after
    assert "PRIVATE" not in repr(found)


def _truncated(files: TlsFiles) -> None:
    files.certificate.write_bytes(FIRST.pem + AUTHORITY.pem[:100])


def _folder(files: TlsFiles) -> None:
    files.key.unlink()
    files.key.mkdir()


def _pipe(files: TlsFiles) -> None:
    files.certificate.unlink()
    os.mkfifo(files.certificate)


def _encrypted(files: TlsFiles) -> None:
    secret = BestAvailableEncryption(b"a password")
    files.key.write_bytes(FIRST.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))


BROKEN: dict[str, tuple[str, Callable[[TlsFiles], object]]] = {
    "no certificate": ("tls_file_unreadable", lambda files: files.certificate.unlink()),
    "a folder": ("tls_file_unreadable", _folder),
    "a pipe": ("tls_file_unreadable", _pipe),
    "a huge file": (
        "tls_file_unreadable",
        lambda files: files.certificate.write_bytes(b"x" * (MAX_FILE_BYTES + 1)),
    ),
    "an empty certificate": (
        "tls_certificate_malformed",
        lambda files: files.certificate.write_bytes(b""),
    ),
    "a truncated chain": ("tls_certificate_malformed", _truncated),
    "an empty key": ("tls_key_malformed", lambda files: files.key.write_bytes(b"")),
    "a key with a password": ("tls_key_malformed", _encrypted),
    "a key that others can read": ("tls_key_open", lambda files: files.key.chmod(0o644)),
    "another key": ("tls_key_mismatch", lambda files: files.key.write_bytes(SECOND.key_pem)),
    "another certificate": (
        "tls_key_mismatch",
        lambda files: files.certificate.write_bytes(SECOND.pem),
    ),
    "no client CA": (
        "tls_client_ca_malformed",
        lambda files: files.client_ca and files.client_ca.write_bytes(b"not PEM"),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_by_name(files: TlsFiles, name: str) -> None:
    code, damage = BROKEN[name]
    damage(files)
    with pytest.raises(ConfigurationError) as refused:
        load(files)
    assert refused.value.code == code
    assert str(files.certificate.parent) in str(refused.value)


class Hands:
    """A watch, its clocks, and what lies on the disk under it."""

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        self.monotonic = 0.0
        self.watch = WatchedTls(files, clock=lambda: self.monotonic)

    def put(self, issued: Issued, *, key: bool = True) -> None:
        self.files.certificate.write_bytes(issued.pem)
        if key:
            self.files.key.write_bytes(issued.key_pem)

    def now(self) -> bytes:
        self.monotonic += LOOK_S
        return self.watch.current().certificate_chain


def test_new_files_are_read_within_a_second(files: TlsFiles) -> None:
    hands = Hands(files)
    first = hands.watch.current()
    hands.put(SECOND)
    assert hands.watch.current() is first
    assert hands.now() == SECOND.pem


def test_half_of_a_pair_is_not_used(files: TlsFiles, caplog: pytest.LogCaptureFixture) -> None:
    hands = Hands(files)
    hands.put(SECOND, key=False)
    assert hands.now() == hands.now() == FIRST.pem
    told = [record for record in caplog.records if "tls_key_mismatch" in record.getMessage()]
    assert len(told) == 1
    hands.put(SECOND)
    assert hands.now() == SECOND.pem


def test_files_that_are_gone_leave_the_last_ones(files: TlsFiles) -> None:
    hands = Hands(files)
    files.certificate.unlink()
    assert hands.now() == FIRST.pem
    files.certificate.write_bytes(FIRST.pem)
    assert hands.now() == FIRST.pem


def test_a_new_client_ca_is_seen(files: TlsFiles) -> None:
    hands = Hands(files)
    other = Authority("other")
    assert files.client_ca is not None
    files.client_ca.write_bytes(other.pem)
    hands.now()
    assert hands.watch.current().client_ca == other.pem


@pytest.mark.parametrize(
    ("days", "code"),
    [((-2, -1), "tls_certificate_expired"), ((1, 2), "tls_certificate_not_yet_valid")],
)
def test_one_that_does_not_hold_now_takes_no_good_ones_place(
    files: TlsFiles, days: tuple[float, float], code: str, caplog: pytest.LogCaptureFixture
) -> None:
    hands = Hands(files)
    hands.put(AUTHORITY.issue(name_of("listener"), usage=SERVER, days=days))
    assert hands.now() == FIRST.pem
    assert code in caplog.text
    Hands(files)  # but the ledger goes on where there is no other
    assert caplog.text.count(code) == 2


def test_an_authority_goes_even_where_our_own_certificate_has_run_out(files: TlsFiles) -> None:
    hands = Hands(files)
    other = Authority("other")
    assert files.client_ca is not None
    files.client_ca.write_bytes(other.pem)
    hands.put(AUTHORITY.issue(name_of("listener"), usage=SERVER, days=(-2, -1)))
    assert hands.now() == FIRST.pem
    assert hands.watch.current().client_ca == other.pem


def test_no_key_is_logged(files: TlsFiles, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    hands = Hands(files)
    hands.put(SECOND, key=False)
    hands.now()
    hands.put(SECOND)
    hands.now()
    assert "PRIVATE" not in caplog.text


# --- configuration ------------------------------------------------------------------------------


ENVIRONMENT = {
    "TOCSIN_ISSUER": "https://issuer.example",
    "TOCSIN_AUDIENCES": "orders",
    "TOCSIN_NATS_URL": "nats://127.0.0.1:4222",
    "TOCSIN_REDIS_URL": "redis://127.0.0.1",
}


def test_the_environment_names_the_files_of_each_listener(tmp_path: Path) -> None:
    environment = ENVIRONMENT | {
        "TOCSIN_DATA_DIR": str(tmp_path),
        "TOCSIN_PUBLIC_TLS_CERTIFICATE_FILE": "/tls/public.pem",
        "TOCSIN_PUBLIC_TLS_KEY_FILE": "/tls/public.key",
        "TOCSIN_PUBLIC_TLS_CLIENT_CA_FILE": "/tls/ca.pem",
        "TOCSIN_PUBLIC_TLS_CLIENT_CERTIFICATE": "optional",
        "TOCSIN_INTERNAL_TLS_CERTIFICATE_FILE": "/tls/internal.pem",
        "TOCSIN_INTERNAL_TLS_KEY_FILE": "/tls/internal.key",
        "TOCSIN_INTERNAL_TLS_CLIENT_CA_FILE": "/tls/ca.pem",
    }
    config = settings_from_environment(environment).config
    assert config.public_tls == TlsFiles(
        certificate=Path("/tls/public.pem"),
        key=Path("/tls/public.key"),
        client_ca=Path("/tls/ca.pem"),
        client_certificate="optional",
    )
    assert config.internal_tls is not None
    assert config.internal_tls.client_certificate == "required"


def test_half_a_configuration_is_refused_by_the_variable_that_is_missing(tmp_path: Path) -> None:
    environment = ENVIRONMENT | {
        "TOCSIN_DATA_DIR": str(tmp_path),
        "TOCSIN_INTERNAL_TLS_CLIENT_CA_FILE": "/tls/ca.pem",
        "TOCSIN_INTERNAL_TLS_CERTIFICATE_FILE": "/tls/internal.pem",
    }
    with pytest.raises(ConfigurationError, match="TOCSIN_INTERNAL_TLS_KEY_FILE") as refused:
        settings_from_environment(environment)
    assert refused.value.code == "setting_missing"


def test_a_demand_without_an_authority_is_refused() -> None:
    values = {
        "iss": "https://issuer.example",
        "default_audiences": ("orders",),
        "internal_tls": {"certificate": "c", "key": "k", "client_certificate": "required"},
    }
    with pytest.raises(ConfigurationError, match="client_certificate needs client_ca"):
        checked_config(values)
