"""An issuer's private keys at rest: what opens them, what does not, and how soon."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from tests.support.keys import private_pem, signer
from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.keys import root_file
from tocsin_issuer.keys.key_store import KeyStore
from tocsin_schemas.errors import ConfigurationError

KEK = b"k" * 43
OTHER = b"o" * 43


@pytest.fixture
def folder(tmp_path: Path) -> DataDir:
    return DataDir(tmp_path)


def refused(folder: DataDir, kid: str, kek: bytes = KEK) -> str:
    with pytest.raises(ConfigurationError) as caught:
        KeyStore(folder, kek).load(kid)
    return caught.value.code


@pytest.mark.parametrize("alg", ["RS256", "ES256", "Ed25519"])
def test_a_key_opens_with_its_key_encryption_key(folder: DataDir, alg: str) -> None:
    key = signer(alg, "at rest")
    KeyStore(folder, KEK).save(key)
    path = folder.path / f"{key.kid}.key"
    assert path.stat().st_mode & 0o777 == 0o600
    opened = KeyStore(folder, KEK).load(key.kid)
    assert (opened.kid, opened.alg) == (key.kid, key.alg)
    key.public.verify(opened.sign(b"data"), b"data")
    assert KeyStore(folder, OTHER, KEK).load(key.kid).kid == key.kid  # while it is replaced
    assert refused(folder, key.kid, OTHER) == "key_unreadable"
    # A root of `tocsin issuer init` lies there in the same form.
    assert root_file.read(path, KEK).kid == key.kid


def test_nothing_of_the_key_stands_in_the_file(folder: DataDir) -> None:
    key = signer("Ed25519", "at rest")
    store, path = KeyStore(folder, KEK), folder.path / f"{key.kid}.key"
    store.save(key)
    text = path.read_text()
    assert not any(line in text for line in private_pem(key).decode().splitlines()[1:-1])
    store.save(key)
    assert path.read_text() != text  # salt and nonce are drawn each time


def test_a_file_that_was_changed(folder: DataDir) -> None:
    key, other = signer("Ed25519", "at rest"), signer("Ed25519", "another at rest")
    store = KeyStore(folder, KEK)
    store.save(key)
    store.save(other)
    members = json.loads((folder.path / f"{key.kid}.key").read_text())
    for change in (
        {"kid": other.kid},
        {"alg": "RS256"},
        {"sealed": members["sealed"][:-4] + "AAAA"},
        {"nonce": "AAAA"},
        {"salt": "AAAA"},
        {"kind": "tocsin-root"},
        {"kind": "tocsin-other"},
        {"more": 1},
    ):
        folder.write_private(f"{key.kid}.key", json.dumps({**members, **change}))
        assert refused(folder, key.kid) == "key_unreadable", change
    folder.write_private(f"{key.kid}.key", (folder.path / f"{other.kid}.key").read_text())
    assert refused(folder, key.kid) == "key_unreadable"
    (folder.path / f"{key.kid}.key").unlink()
    assert refused(folder, key.kid) == "key_missing"


def test_a_file_of_an_older_version_is_read(folder: DataDir) -> None:
    key = signer("ES256", "of an older version")
    pem = key.private_key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(KEK)
    ).decode()
    folder.write_private(f"{key.kid}.pem", pem)
    store = KeyStore(folder, KEK)
    assert store.kids() == [key.kid]
    assert store.load(key.kid).kid == key.kid
    assert refused(folder, key.kid, OTHER) == "key_unreadable"
    store.save(key)
    (folder.path / f"{key.kid}.pem").write_text("of no use any more")
    assert store.load(key.kid).kid == key.kid
    assert store.kids() == [key.kid]


def test_an_issuer_with_many_keys_starts_at_once(folder: DataDir) -> None:
    key = signer("Ed25519", "at rest")
    store = KeyStore(folder, KEK)
    store.save(key)
    start = time.process_time()
    for _ in range(50):
        store.load(key.kid)
    assert time.process_time() - start < 0.5
