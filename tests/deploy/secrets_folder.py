"""The secrets as docker/README.md has them made."""

from __future__ import annotations

from pathlib import Path

from tocsin_issuer.deploy_secrets import make_deploy_secrets
from tocsin_schemas.keyset import Keyset, Policy

ISSUER = "http://localhost:8080"
SERVICES = ("orders", "inventory")
NOW = 1_790_000_000
POLICY = Policy(lease_ms=30_000)


def make(folder: Path, now: int = NOW) -> Keyset:
    return make_deploy_secrets(folder, issuer=ISSUER, services=SERVICES, policy=POLICY, now=now)
