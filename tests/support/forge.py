"""Compact JWS out of arbitrary parts: whatever bytes a test wants, signed or not.

Nothing here uses the code under test, so that a mistake there cannot hide itself.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any

from tocsin_schemas.jws import Signer

Part = bytes | str | Mapping[str, Any]


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def octets(part: Part) -> bytes:
    if isinstance(part, Mapping):
        return json.dumps(part).encode()
    return part.encode() if isinstance(part, str) else part


def header_of(signer: Signer, **changes: Any) -> dict[str, Any]:
    """A good access token's header; a change to None takes the member out."""
    members = {"alg": signer.alg, "kid": signer.kid, "typ": "at+jwt", **changes}
    return {name: value for name, value in members.items() if value is not None}


def seal(header: Part, payload: Part, sign: Callable[[bytes], bytes]) -> str:
    """Encode both parts and sign them."""
    return seal_text(b64(octets(header)), b64(octets(payload)), sign)


def seal_text(head: str, body: str, sign: Callable[[bytes], bytes]) -> str:
    """Sign two segments exactly as they stand."""
    signed = f"{head}.{body}"
    return f"{signed}.{b64(sign(signed.encode()))}"


def token(signer: Signer, payload: Part, **header: Any) -> str:
    """An access token with a good signature by ``signer``, whatever it says."""
    return seal(header_of(signer, **header), payload, signer.sign)
