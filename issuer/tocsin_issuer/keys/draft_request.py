"""What an operator asks the next keyset to hold."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from tocsin_schemas.keyset import MAX_KEYSET_LIFE_S, PublicJwk

DAY_S: Final = 24 * 3600
MAX_ROTATIONS: Final = 12  # more keys would not fit into one request to publish them

PolicyMember = Literal["lease_ms", "heartbeat_ms", "max_token_life_s", "rho_ppm"]
Alg = Literal["RS256", "ES256", "Ed25519"]


class NewRoots(Struct, frozen=True, forbid_unknown_fields=True):
    """The next roots, as public JWKs."""

    threshold: Annotated[int, Meta(ge=1, le=16)]
    keys: Annotated[tuple[PublicJwk, ...], Meta(min_length=1, max_length=16)]


class DraftRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the next keyset is to hold: so many token keys after the active one, a turn of
    ``every_s`` seconds each. Keys that stand by already count; those that are missing are made, of
    the ``algs`` in turn. ``policy`` holds the members that change; ``roots`` of None stay.
    """

    rotations: Annotated[int, Meta(ge=1, le=MAX_ROTATIONS)] = 3
    every_s: Annotated[int, Meta(ge=1, le=MAX_KEYSET_LIFE_S)] = 30 * DAY_S
    life_s: Annotated[int, Meta(ge=60, le=MAX_KEYSET_LIFE_S)] = MAX_KEYSET_LIFE_S
    algs: Annotated[tuple[Alg, ...], Meta(max_length=32)] = ()
    new_ledger_key: bool = False
    roots: NewRoots | None = None
    policy: dict[PolicyMember, int] = {}
