"""A root's file: what opens it, and what does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from tests.support.keys import private_pem, signer
from tocsin_issuer.keys import root_file
from tocsin_schemas.errors import ConfigurationError

COST = 2**10
SECRET = b"correct horse battery"


def refused(text: str, secret: bytes = SECRET) -> str:
    with pytest.raises(ConfigurationError) as caught:
        root_file.unseal(text, secret)
    assert secret.decode() not in str(caught.value)
    return caught.value.code


@pytest.mark.parametrize("alg", ["RS256", "ES256", "Ed25519"])
def test_it_opens_with_its_passphrase(alg: str, tmp_path: Path) -> None:
    root = signer(alg, "sealed root")
    (tmp_path / "root").write_text(root_file.seal(root, SECRET, COST))
    opened = root_file.read(tmp_path / "root", SECRET)
    assert (opened.kid, opened.alg) == (root.kid, root.alg)
    root.public.verify(opened.sign(b"data"), b"data")


def test_nothing_of_the_key_stands_in_it() -> None:
    root = signer("Ed25519", "sealed root")
    text = root_file.seal(root, SECRET)
    assert json.loads(text)["cost"] == 2**17
    assert not any(line in text for line in private_pem(root).decode().splitlines()[1:-1])
    assert root_file.seal(root, SECRET) != text  # salt and nonce are drawn each time
    assert root_file.unseal(text, SECRET).kid == root.kid


def test_what_does_not_open() -> None:
    text = root_file.seal(signer("Ed25519", "sealed root"), SECRET, COST)
    members = json.loads(text)
    assert refused(text, b"another passphrase") == "root_unreadable"
    for change in (
        {"kid": signer("Ed25519", "another root").kid},
        {"alg": "RS256"},
        {"sealed": members["sealed"][:-4] + "AAAA"},
        {"nonce": "AAAA"},
        {"cost": 2**11},
    ):
        assert refused(json.dumps({**members, **change})) == "root_unreadable", change
    for bad in ("", "{}", "[]", text + text, json.dumps({**members, "cost": 2**21}), "é"):
        assert refused(bad) == "root_malformed", bad


def test_a_weak_passphrase_seals_nothing() -> None:
    with pytest.raises(ConfigurationError) as weak:
        root_file.seal(signer("Ed25519", "sealed root"), b"short")
    assert weak.value.code == "secret_weak"


def test_a_root_that_init_made_can_be_read() -> None:
    root = signer("ES256", "root of init")
    pem = root.private_key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(SECRET)
    ).decode()
    assert root_file.unseal(pem, SECRET).kid == root.kid
    assert refused(pem, b"another passphrase") == "root_unreadable"
