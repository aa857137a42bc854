"""Which key-encryption keys are taken: random ones that nobody else may read."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from tests.support.clock import NOW
from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.keys import ceremony, kek
from tocsin_issuer.keys.ceremony import IssuerFolder
from tocsin_issuer.keys.kek import KEK_FILE_VARIABLE, NEXT_KEK_FILE_VARIABLE
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.keyset import Policy


def refused(path: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        kek.read(path)
    assert "secret words" not in str(caught.value)
    return caught.value.code


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_random_bytes_in_a_private_file(tmp_path: Path, mode: int) -> None:
    drawn = os.urandom(32)
    plain, safe = base64.b64encode(drawn).decode(), base64.urlsafe_b64encode(drawn).decode()
    for number, text in enumerate((plain, safe, safe.rstrip("="), drawn.hex())):
        path = written(tmp_path / str(number), text + "\n", mode)
        assert kek.read(path) == text.encode()


def test_what_is_no_random_key(tmp_path: Path) -> None:
    passphrase = "the secret words of somebody who was asked for a long passphrase"
    for number, text in enumerate(("", "a" * 16, "a" * 42, passphrase, "é" * 43, "A" * 2000)):
        assert refused(written(tmp_path / str(number), text)) == "kek_weak", text
    assert refused(tmp_path / "none") == "kek_missing"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_is_open_to_others(tmp_path: Path, mode: int) -> None:
    assert refused(written(tmp_path / "kek", "a" * 43, mode)) == "secret_file_open"


@pytest.mark.parametrize("variable", [KEK_FILE_VARIABLE, NEXT_KEK_FILE_VARIABLE])
def test_no_issuer_starts_with_such_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    path = tmp_path / "issuer"
    ceremony.init(path, issuer="https://i.example", policy=Policy(), now=NOW, alg="Ed25519")
    monkeypatch.setenv(variable, str(tmp_path / "mine"))
    for text, mode, code in (("a" * 16, 0o600, "kek_weak"), ("a" * 43, 0o644, "secret_file_open")):
        written(tmp_path / "mine", text, mode)
        with pytest.raises(ConfigurationError) as caught:
            IssuerFolder.open(path)
        assert caught.value.code == code


def test_one_that_is_drawn_is_taken(tmp_path: Path) -> None:
    with DataDir(tmp_path / "folder") as folder:
        drawn = kek.current(folder, create=True)
        assert kek.current(folder) == kek.current(folder, create=True) == drawn
        folder.write_private("kek", "a" * 16)
        with pytest.raises(ConfigurationError) as caught:
            kek.current(folder, create=True)
        assert caught.value.code == "kek_weak"
