"""One set of secrets for all tests here: making RSA keys takes a while."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.secrets_folder import make


@pytest.fixture(scope="session")
def secrets_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deploy") / "secrets"
    make(folder)
    return folder
