"""openid-client from npm, unmodified, against an issuer process."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from tests.e2e.oauth.conftest import Clients
from tests.support.keys import private_pem
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE

PROJECT = Path(__file__).with_name("openid_client")
NODE, NPM = shutil.which("node"), shutil.which("npm")
WAYS = (
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
    "private_key_jwt without a kid",
)
INACTIVE = {"active": False}

pytestmark = pytest.mark.skipif(
    NODE is None or NPM is None, reason="Node and npm are not installed"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The story with what its lock file names, installed by npm's own configuration."""
    folder = tmp_path_factory.mktemp("openid_client") / "project"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("node_modules"))
    command = [str(NPM), "ci", "--ignore-scripts", "--prefer-offline"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm cannot install openid-client here: it did not end in two minutes")
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        pytest.skip(f"npm cannot install openid-client here: {reason}")
    return folder


@pytest.fixture(scope="module")
def login(clients: Clients) -> dict[str, Any]:
    return clients.up.log_in()


@pytest.fixture(scope="module")
def told(clients: Clients, project: Path, login: dict[str, Any]) -> dict[str, Any]:
    """What the library made of each answer."""
    up = clients.up
    given = {
        "issuer": up.public_url,
        "internal_metadata": f"{up.internal_url}/.well-known/oauth-authorization-server",
        "refresh_token": login["refresh_token"],
        "secret": clients.secret,
        "private_jwk": ECKey.import_key(private_pem(clients.key)).as_dict(private=True),
        "kid": clients.key.kid,
    }
    done = subprocess.run(
        [str(NODE), "story.mjs"],
        cwd=project,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    members: dict[str, Any] = json.loads(done.stdout)
    return members


def test_refresh(told: dict[str, Any], login: dict[str, Any]) -> None:
    refresh = told["refresh"]
    assert 590 < refresh.pop("expires_in") <= 600
    assert refresh == {"sid": login["session_id"], "rotated": True, "type": "bearer"}


def test_client_credentials(told: dict[str, Any]) -> None:
    assert tuple(told["client_credentials"]) == WAYS
    for way, granted in told["client_credentials"].items():
        name = "signing-service" if "jwt" in way else "orders-service"
        assert granted == {"scope": "orders:read", "sub": name}


def test_exchange(told: dict[str, Any], login: dict[str, Any]) -> None:
    assert tuple(told["exchange"]) == WAYS
    for way, traded in told["exchange"].items():
        assert traded == {
            "aud": "inventory",
            "sid": login["session_id"],
            "act": "signing-service" if "jwt" in way else "orders-service",
            "issued": ACCESS_TOKEN_TYPE,
        }


def test_introspection_before_and_after_a_revocation(told: dict[str, Any]) -> None:
    assert told["introspection"] == {way: [True, "inventory", INACTIVE] for way in WAYS}


def test_a_public_client_gives_back_what_is_its_own(told: dict[str, Any]) -> None:
    assert told["public"]["not_its_own"]["error"] == "unauthorized_client"
    assert told["public"]["after"]["error"] == "invalid_grant"


def test_the_refusals_are_what_the_library_takes_for_them(told: dict[str, Any]) -> None:
    refused = told["refused"]
    assert refused["reuse"] == {
        "name": "ResponseBodyError",
        "error": "invalid_grant",
        "status": 400,
    }
    assert refused["target"]["error"] == "invalid_target"
    assert (refused["client"]["status"], refused["client"]["challenges"]) == (401, ["basic"])
