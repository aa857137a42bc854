"""A client's assertions: what they say, that each is new, and what key signs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.support.clock import NOW
from tests.support.keys import private_pem, signer
from tocsin_issuer.http.client_assertion import read_assertion
from tocsin_schemas.client_assertion import ASSERTION_TYP, ASSERTION_TYPE
from tocsin_schemas.errors import ConfigurationError
from tocsin_verifier_agent.client_assertion import LIFE_S, ClientAssertions

ISSUER, CLIENT = "https://issuer.example", "orders-service"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "client.pem"


def keep(path: Path, pem: bytes, mode: int = 0o600) -> None:
    """As an operator replaces a file: whole or not at all."""
    new = path.with_suffix(".new")
    new.write_bytes(pem)
    new.chmod(mode)
    new.replace(path)


def assertions(path: Path, now: float = NOW) -> ClientAssertions:
    return ClientAssertions(path, client_id=CLIENT, issuer=ISSUER, wall_clock=lambda: now)


def signed(found: ClientAssertions) -> str:
    return found.parameters()["client_assertion"]


@pytest.mark.parametrize("alg", ["RS256", "ES256", "Ed25519"])
def test_the_issuer_reads_it(path: Path, alg: str) -> None:
    key = signer(alg)
    keep(path, private_pem(key))
    parameters = assertions(path, NOW + 0.9).parameters()
    assert set(parameters) == {"client_assertion", "client_assertion_type"}
    assert parameters["client_assertion_type"] == ASSERTION_TYPE
    read = read_assertion(
        parameters["client_assertion"], {key.kid: key.public}, frozenset({ISSUER}), NOW
    )
    assert read is not None
    assert (read.iss, read.sub, read.aud) == (CLIENT, CLIENT, ISSUER)
    assert (read.iat, read.exp) == (NOW, NOW + LIFE_S)
    assert LIFE_S <= 60


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_others_read_it_too(path: Path, alg: str) -> None:
    key = signer(alg)
    keep(path, private_pem(key))
    text = signed(assertions(path))
    header = {"alg": alg, "kid": key.kid, "typ": ASSERTION_TYP}
    assert jwt.get_unverified_header(text) == header
    claims = jwt.decode(
        text,
        key.private_key.public_key(),
        algorithms=[alg],
        audience=ISSUER,
        issuer=CLIENT,
        options={"verify_exp": False},
    )
    assert set(claims) == {"iss", "sub", "aud", "iat", "exp", "jti"}


def test_each_is_new(path: Path) -> None:
    keep(path, private_pem(signer("Ed25519")))
    found = assertions(path)
    many = {_claims(signed(found))["jti"] for _ in range(100)}
    assert len(many) == 100
    assert min(map(len, many)) >= 22, "128 bits"


def _claims(text: str) -> dict[str, Any]:
    members: dict[str, Any] = jwt.decode(text, options={"verify_signature": False})
    return members


def _pem(key: Any, password: bytes | None = None) -> bytes:
    sealed = NoEncryption() if password is None else BestAvailableEncryption(password)
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed)
    return pem


UNUSABLE: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "no PEM": lambda: b"a secret",
    "a public key": lambda: (
        signer("ES256")
        .private_key.public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    ),
    "encrypted": lambda: _pem(signer("ES256").private_key, b"a password"),
    "another curve": lambda: _pem(ec.generate_private_key(ec.SECP384R1())),
    "a weak key": lambda: _pem(rsa.generate_private_key(65537, 1024)),
    "cut off": lambda: private_pem(signer("RS256"))[:-100],
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_an_unusable_key(path: Path, what: str) -> None:
    keep(path, UNUSABLE[what]())
    with pytest.raises(ConfigurationError) as caught:
        assertions(path)
    assert caught.value.code == "assertion_key_unusable"
    said = str(caught.value)
    assert said.startswith(f"{path}: not the private key of ")
    assert len(said) < len(str(path)) + 100, "nothing of what it holds"


def test_a_file_that_is_missing_or_open_to_others(path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        assertions(path)
    assert caught.value.code == "credentials_missing"
    for mode in (0o640, 0o604, 0o660):
        keep(path, private_pem(signer("ES256")), mode)
        with pytest.raises(ConfigurationError) as caught:
            assertions(path)
        assert caught.value.code == "credentials_mode"


def test_a_new_key_counts_from_the_next_one_on(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = signer("ES256"), signer("Ed25519", "the next")
    keep(path, private_pem(first))
    found = assertions(path)

    def kid() -> str:
        return str(jwt.get_unverified_header(signed(found))["kid"])

    assert kid() == first.kid
    for bad, mode in ((b"half of it", 0o600), (private_pem(second), 0o644)):
        keep(path, bad, mode)
        assert [kid(), kid()] == [first.kid] * 2, "the last good one"
    path.unlink()
    assert kid() == first.kid
    said = [one.getMessage() for one in caplog.records if "assertion key" in one.getMessage()]
    assert [line.split(": ")[1] for line in said] == [
        "assertion_key_unusable",
        "credentials_mode",
        "credentials_missing",
    ]
    keep(path, private_pem(second))
    assert kid() == second.kid
