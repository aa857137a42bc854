"""Good access tokens, and what to change in them."""

from itertools import count
from typing import Any

from tests.support.clock import NOW
from tocsin_schemas import jti

ISSUER = "https://issuer.example"
AUDIENCE = "https://orders.example"
LIFE_S = 600

_counters = count(1)


def own_jti(iat: int = NOW, counter: int | None = None, randomness: bytes = b"lane-0001") -> str:
    """A jti as the Tocsin issuer writes them."""
    lane = jti.lane(iat // jti.HOUR_S, randomness)
    return jti.compose(lane, next(_counters) if counter is None else counter, b"tail!")


def claims(iat: int = NOW, **changes: Any) -> dict[str, Any]:
    """A good access token's claims; a change to None takes the claim out."""
    members: dict[str, Any] = {
        "iss": ISSUER,
        "sub": "subject-17",
        "aud": AUDIENCE,
        "client_id": "web",
        "iat": iat,
        "nbf": iat,
        "exp": iat + LIFE_S,
        "jti": own_jti(iat),
        "sid": "session-3",
        "scope": "orders:read orders:write",
        **changes,
    }
    return {name: value for name, value in members.items() if value is not None}
