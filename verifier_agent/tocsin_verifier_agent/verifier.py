"""The verifier with no bus: keys given once, nothing revoked. What test vectors run against."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tocsin_schemas import jwk, strict_json
from tocsin_schemas.claims import ACCESS_TOKEN_TYP
from tocsin_schemas.errors import EncodingRejected, KeyRejected
from tocsin_schemas.issuer_profile import IssuerProfile
from tocsin_schemas.jwk import PublicKey
from tocsin_verifier_agent.core.authority import StaticAuthority
from tocsin_verifier_agent.core.confirmation import PeerCertificate
from tocsin_verifier_agent.core.token_cache import TokenCache
from tocsin_verifier_agent.core.token_verifier import TokenVerifier
from tocsin_verifier_agent.core.verified import Verified

DAY_S = 24 * 3600


class Verifier:
    """Verifies one issuer's access tokens against fixed keys."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    @classmethod
    def from_jwks(
        cls,
        jwks: Mapping[str, Any] | str | bytes,
        *,
        issuer: str,
        audience: str | Iterable[str],
        clock: Callable[[], float] = time.time,
        typ: str = ACCESS_TOKEN_TYP,
        max_token_life_s: int = DAY_S,
        profile: IssuerProfile | None = None,
    ) -> Verifier:
        """Build one from a JWK Set (an object or its JSON) or a PEM public key.

        Args:
            jwks: the keys; a malformed one is left out, the rest is kept.
            issuer: the one ``iss`` to accept, compared exactly.
            audience: ours; one of them must be in ``aud``.
            clock: seconds of UTC.
            typ: the one ``typ`` to accept, without ``application/``.
            max_token_life_s: the longest ``exp`` − ``iat`` to accept, in seconds.
            profile: how a provider that is not Tocsin writes its tokens; its types take the place
                of ``typ``.

        Raises:
            KeyRejected: there is no good key at all.
        """
        keys = _keys(jwks)
        audiences = frozenset([audience] if isinstance(audience, str) else audience)
        return cls(
            TokenVerifier(
                StaticAuthority(keys, issuer, profile, max_token_life_s),
                audiences={issuer: audiences},
                lease_clock=time.monotonic_ns,
                wall_clock=clock,
                typ=typ,
                cache=TokenCache(threading.Lock()),
            )
        )

    def verify(self, token: str, certificate: PeerCertificate = None) -> Verified:
        """Accept a token, or say why not; ``certificate`` is what its bearer has shown, in DER.

        Raises:
            TokenRejected: it must not be accepted.
        """
        return self._verifier.verify(token, certificate=certificate)


def _keys(jwks: Mapping[str, Any] | str | bytes) -> Mapping[str, PublicKey]:
    if isinstance(jwks, Mapping):
        return _good(jwks)
    try:
        text = jwks.encode() if isinstance(jwks, str) else jwks
        if text.lstrip().startswith(b"-----BEGIN"):
            key = jwk.from_pem(text)
            return {key.kid: key}
        return _good(strict_json.loads_object(text))
    except (EncodingRejected, UnicodeEncodeError):
        raise KeyRejected("jwks_malformed", "neither a JWK Set nor a PEM public key") from None


def _good(members: Mapping[str, Any]) -> Mapping[str, PublicKey]:
    found = jwk.from_jwks(members)
    if not found.keys:
        raise KeyRejected("jwks_empty", "the JWK Set holds no usable key")
    return found.keys
