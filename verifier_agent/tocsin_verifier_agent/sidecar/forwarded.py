"""The client's certificate in a header that the proxy in front of the sidecar sets.

Only a proxy that overwrites what the client has sent under that name may be believed, so nothing is
read unless the sidecar is told which proxy there is. A value that is not understood, or one of two,
is no certificate: then a bound token is refused.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

from tocsin_schemas import base64url
from tocsin_schemas.confirmation import thumbprint
from tocsin_verifier_agent.adapters import peer
from tocsin_verifier_agent.core.confirmation import PeerCertificate

ProxyKind = Literal["nginx", "envoy", "rfc9440"]
_PAIR: Final = re.compile(r'([A-Za-z]{1,16})=("(?:[^"\\]|\\.)*"|[^",;]*)(;|\Z)')
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def _nginx(value: str) -> PeerCertificate:
    """``$ssl_client_escaped_cert``: the PEM text, percent-encoded."""
    try:
        return peer.of_pem(unquote_to_bytes(value).decode("ascii"))
    except ValueError:
        return None


def _envoy(value: str) -> PeerCertificate:
    """``x-forwarded-client-cert``: pairs, of which one is the certificate's SHA-256.

    With ``SANITIZE_SET`` there is one element. Outside quotes a comma would begin another one, and
    whose certificate counts would be a guess.
    """
    pairs: list[tuple[str, str]] = []
    at = 0
    while at < len(value):
        found = _PAIR.match(value, at)
        if found is None:
            return None
        pairs.append((found[1].lower(), found[2]))
        at = found.end()
    hashes = [text for name, text in pairs if name == "hash"]
    if len(hashes) != 1 or not _SHA256.fullmatch(hashes[0]):
        return None
    return base64url.encode(bytes.fromhex(hashes[0]))


def _rfc9440(value: str) -> PeerCertificate:
    """``Client-Cert`` (RFC 9440 section 2.2): the DER as a byte sequence of RFC 8941."""
    if len(value) < 2 or not value.startswith(":") or not value.endswith(":"):
        return None
    try:
        return thumbprint(b64decode(value[1:-1], validate=True))
    except (binascii.Error, ValueError):
        return None


PROXIES: Final[Mapping[ProxyKind, tuple[bytes, Callable[[str], PeerCertificate]]]] = {
    "nginx": (b"x-tocsin-client-cert", _nginx),
    "envoy": (b"x-forwarded-client-cert", _envoy),
    "rfc9440": (b"client-cert", _rfc9440),
}
"""The header of each, and how to read it."""


def certificate_of(
    proxy: ProxyKind | None, headers: Iterable[tuple[bytes, bytes]]
) -> PeerCertificate:
    """What the proxy says; None where there is no such proxy, or it says nothing."""
    if proxy is None:
        return None
    name, read = PROXIES[proxy]
    values = [value for header, value in headers if header == name]
    return read(values[0].decode("latin-1")) if len(values) == 1 and values[0] else None
