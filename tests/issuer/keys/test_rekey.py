"""The key-encryption key changes, wherever the process dies meanwhile."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from tests.support.clock import NOW
from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.keys import ceremony
from tocsin_issuer.keys.ceremony import IssuerFolder
from tocsin_issuer.keys.kek import KEK_FILE_VARIABLE, NEXT_KEK_FILE_VARIABLE
from tocsin_issuer.keys.key_store import KeyStore
from tocsin_issuer.keys.rekey import rekey
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.keyset import Policy


class Crash(BaseException):
    """Nobody catches it."""


@pytest.fixture
def issuer(tmp_path: Path) -> Path:
    path = tmp_path / "issuer"
    ceremony.init(path, issuer="https://i.example", policy=Policy(), now=NOW, alg="Ed25519")
    return path


def opens(path: Path, kek: bytes) -> set[str]:
    """The private keys that this key-encryption key opens by itself."""
    found = set()
    for name in ("keys", "roots"):
        store = KeyStore(DataDir(path / name), kek)
        for kid in store.kids():
            try:
                found.add(store.load(kid).kid)
            except ConfigurationError as error:
                assert error.code == "key_unreadable"
    return found


def all_kids(path: Path) -> set[str]:
    return {file.stem for file in path.rglob("*.key")}


def readable(path: Path) -> set[str]:
    """The private keys that an issuer which starts now can read."""
    folder = IssuerFolder.open(path)
    try:
        stores = (folder.keys, folder.roots)
        return {store.load(kid).kid for store in stores for kid in store.kids()}
    finally:
        folder.close()


def crash_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the process die at its ``step``-th call to make something durable."""
    fsync, seen = os.fsync, 0

    def dying(fd: int) -> None:
        nonlocal seen
        seen += 1
        if seen == step:
            raise Crash
        fsync(fd)

    monkeypatch.setattr(os, "fsync", dying)


def test_the_old_key_opens_nothing_any_more(issuer: Path) -> None:
    old = (issuer / "kek").read_bytes()
    kids = all_kids(issuer)
    assert opens(issuer, old) == kids
    (issuer / "keys" / "unfinished.key.new").write_text("of a save that died")
    assert rekey(issuer, None) == len(kids) == 4
    new = (issuer / "kek").read_bytes()
    assert new != old
    assert opens(issuer, old) == set()
    assert opens(issuer, new) == readable(issuer) == kids
    left = [path for path in issuer.rglob("*") if path.suffix in (".new", ".next")]
    assert left == []
    for path in issuer.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def crashed(path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> bool:
    with monkeypatch.context() as patch:
        crash_at(patch, step)
        try:
            rekey(path, None)
        except Crash:
            return True
    return False


def test_a_crash_at_each_step(issuer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kids, old = all_kids(issuer), (issuer / "kek").read_bytes()
    step = 1
    while True:
        path = issuer.with_name(f"step-{step}")
        shutil.copytree(issuer, path)
        died = crashed(path, monkeypatch, step)
        # Whatever is under which key by now, an issuer can start and read all of it.
        assert readable(path) == kids, step
        if not died:
            break
        rekey(path, None)
        assert opens(path, old) == set(), step
        assert readable(path) == opens(path, (path / "kek").read_bytes()) == kids, step
        step += 1
    assert step == 12  # each of four keys and the next one, with the name of each; the last move


def test_a_key_that_lies_outside(
    issuer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kids = all_kids(issuer)
    first, second = tmp_path / "first", tmp_path / "second"
    for path, text in ((first, "a" * 43 + "\n"), (second, "b" * 43)):
        path.write_text(text)
        path.chmod(0o600)
    old = (issuer / "kek").read_bytes()
    rekey(issuer, first)  # out of the folder
    assert not (issuer / "kek").exists()
    assert (opens(issuer, old), opens(issuer, b"a" * 43)) == (set(), kids)

    monkeypatch.setenv(KEK_FILE_VARIABLE, str(first))
    for given, code in ((None, "kek_elsewhere"), (first, "kek_unchanged")):
        with pytest.raises(ConfigurationError) as refused:
            rekey(issuer, given)
        assert refused.value.code == code
    with monkeypatch.context() as patch:
        crash_at(patch, 5)
        with pytest.raises(Crash):
            rekey(issuer, second)
    assert set() < opens(issuer, b"b" * 43) < kids
    monkeypatch.setenv(NEXT_KEK_FILE_VARIABLE, str(second))
    assert readable(issuer) == kids  # an issuer that is told of both
    rekey(issuer, second)
    monkeypatch.delenv(NEXT_KEK_FILE_VARIABLE)
    monkeypatch.setenv(KEK_FILE_VARIABLE, str(second))
    assert readable(issuer) == kids
    assert opens(issuer, b"a" * 43) == set()


def test_what_an_older_version_left(issuer: Path) -> None:
    """Encrypted PKCS #8 under a word of the operator's, which no issuer starts with any more."""
    kids, word = all_kids(issuer), b"sixteen letters!"
    for name in ("keys", "roots"):
        store = KeyStore(DataDir(issuer / name), (issuer / "kek").read_bytes())
        for kid in store.kids():
            pem = store.load(kid).private_key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(word)
            )
            DataDir(issuer / name).write_private(f"{kid}.pem", pem.decode())
            (issuer / name / f"{kid}.key").unlink()
    DataDir(issuer).write_private("kek", word.decode())
    with pytest.raises(ConfigurationError) as refused:
        IssuerFolder.open(issuer)
    assert refused.value.code == "kek_weak"
    assert rekey(issuer, None) == len(kids)
    assert readable(issuer) == all_kids(issuer) == kids
    assert list(issuer.rglob("*.pem")) == []


def test_what_is_refused(issuer: Path, tmp_path: Path) -> None:
    def code(new: Path | None) -> str:
        with pytest.raises(ConfigurationError) as refused:
            rekey(issuer, new)
        return refused.value.code

    before = opens(issuer, (issuer / "kek").read_bytes())
    weak = tmp_path / "weak"
    weak.write_text("a" * 42 + "\n")
    weak.chmod(0o600)
    assert code(weak) == "kek_weak"
    assert code(tmp_path / "none") == "kek_missing"
    running = IssuerFolder.open(issuer)
    try:
        assert code(None) == "data_dir_in_use"
    finally:
        running.close()
    stranger = next((issuer / "keys").glob("*.key"))
    text = stranger.read_text()
    stranger.write_text(text.replace("A", "B"))
    assert code(None) == "key_unreadable"
    stranger.write_text(text)
    assert before == readable(issuer) == all_kids(issuer)
