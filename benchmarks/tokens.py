"""Access tokens as the issuer writes them, minted without asking it."""

from __future__ import annotations

import os
import time
from typing import Any

from tocsin_issuer.core.jti_allocator import JtiAllocator
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_schemas import base64url, strict_json
from tocsin_schemas.claims import ACCESS_TOKEN_TYP

AUDIENCE = "orders"
OLDER_NAMES = {"Ed25519": "EdDSA"}  # RFC 8037; the peers know no other


def claims_of(issuer: str, jti: str, number: int, now: int) -> dict[str, Any]:
    """The claims of a usual access token; every subject and session has its own."""
    return {
        "iss": issuer,
        "sub": f"u_{number:022d}",
        "aud": AUDIENCE,
        "client_id": "first-party",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "jti": jti,
        "sid": f"{number:022x}",
        "role": "user",
        "perms": ["orders:read", "orders:write"],
        "scope": "",
    }


def mint(signer: PrivateKeySigner, issuer: str, count: int) -> list[str]:
    """Distinct tokens of one issuer, under the algorithm's name that all verifiers know."""
    allocator, now = JtiAllocator(os.urandom), int(time.time())
    header = base64url.encode(
        strict_json.dumps(
            {
                "alg": OLDER_NAMES.get(signer.alg, signer.alg),
                "kid": signer.kid,
                "typ": ACCESS_TOKEN_TYP,
            }
        )
    )
    tokens: list[str] = []
    for number in range(count):
        claims = claims_of(issuer, allocator.allocate(now, os.getpid()), number, now)
        signed = f"{header}.{base64url.encode(strict_json.dumps(claims))}"
        tokens.append(f"{signed}.{base64url.encode(signer.sign(signed.encode()))}")
    return tokens
