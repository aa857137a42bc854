"""What the rules look at, of tokens that a test only imagines."""

from __future__ import annotations

from collections.abc import Iterable

from tocsin_revocation_bus.core.state import TokenFacts
from tocsin_schemas import jti


def facts_of(
    *,
    kid: str,
    jtis: Iterable[str],
    sid: str | None,
    sub: str,
    clients: Iterable[str],
    iat: int,
    iss: str | None = None,
) -> TokenFacts:
    """``jtis`` are the token's own and its origin's; those of ours are recognised."""
    names = list(jtis)
    places = [jti.parse(name) if iss is None else None for name in names]
    return TokenFacts(
        kid,
        tuple(place for place in places if place is not None),
        tuple(name for name, place in zip(names, places, strict=True) if place is None),
        sid,
        sub,
        tuple(clients),
        iat,
        iss,
    )
