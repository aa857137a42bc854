"""The keys as others may see them."""

from collections.abc import Collection, Iterable
from typing import Any

from tocsin_issuer.core import key_life_cycle, key_notices
from tocsin_issuer.core.key_life_cycle import Situation
from tocsin_schemas import jwk
from tocsin_schemas.keyset import Keyset, KeysetKey


def published(keyset: Keyset | None, revoked: Collection[str]) -> list[KeysetKey]:
    """The token keys that are not revoked."""
    keys = [] if keyset is None else key_life_cycle.token_keys(keyset)
    return [key for key in keys if key.kid not in revoked]


def jwks(keys: Iterable[KeysetKey]) -> dict[str, object]:
    """As a JWK Set (RFC 7517 section 5)."""
    return {"keys": [{**key.jwk, "kid": key.kid, "alg": key.alg, "use": "sig"} for key in keys]}


def pems(keys: Iterable[KeysetKey]) -> str:
    """As PEM, one after the other."""
    return "".join(jwk.to_pem(key.jwk) for key in keys)


def describe(situation: Situation, held: Collection[str]) -> dict[str, Any]:
    """Phases and dates of all keys, in the order of their turns, and what is to be noticed.

    Times are seconds of UTC. ``held`` are the kids whose private keys are here.
    """
    keyset, times = situation.keyset, situation.times
    phases = key_life_cycle.phases(*situation)
    found = key_notices.notices(situation, held)
    return {
        "keyset": {"version": keyset.version, "expires_at": keyset.expires_at},
        "keys": [
            {
                "kid": key.kid,
                "alg": key.alg,
                "phase": phases[key.kid].value,
                "usable_from": key_life_cycle.usable_from(key, times),
                "turn_ends": key_life_cycle.turn_ends(key, times),
                "sign_until": key.sign_until,
                "verify_until": key.verify_until,
                "held": key.kid in held,
            }
            for key in key_life_cycle.token_keys(keyset)
        ],
        "ledger_keys": [
            {
                "kid": key.kid,
                "alg": key.alg,
                "revoked": key.kid in situation.revoked,
                "sign_until": key.sign_until,
                "held": key.kid in held,
            }
            for key in keyset.keys
            if key.use == "ledger"
        ],
        "notices": [
            {"code": one.code, "kid": one.kid, "at": one.at, "urgent": one.urgent} for one in found
        ],
    }
