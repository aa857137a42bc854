"""The life of a token key: published, standing by, signing, retiring, gone.

The keyset's windows say what a key may do, the roots having signed them; which of the permitted
keys signs is decided here. A key that has just been published must wait for the bound B, until no
agent can still be accepting tokens without knowing it (I9); so one is always kept standing by.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from msgspec import structs

from tocsin_schemas.claims import EXP_LEEWAY_S
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.issuer_profile import ForeignIssuer
from tocsin_schemas.keyset import Keyset, KeysetKey

RETIRE_GRACE_S = 60  # for a replica of the issuer that has not yet heard of a rotation


class Phase(Enum):
    """Where a token key is in its life."""

    PENDING = "pending"
    STANDBY = "standby"
    ACTIVE = "active"
    RETIRING = "retiring"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class KeyTimes:
    """What the choice depends on. Times are seconds of UTC, ``bound_s`` is B.

    ``acked_at`` is when the first keyset that lists a key got its PubAck.
    """

    acked_at: Mapping[str, float]
    bound_s: float


def known_since(keyset: Keyset, now: float) -> float:
    """The PubAck time to note for a key that is first seen in the ledger now.

    The keys of the first keyset need not wait: no agent was ever live without them.
    """
    return 0.0 if keyset.version == 1 else now


def usable_from(key: KeysetKey, times: KeyTimes) -> float | None:
    """When the key may first sign, or None while its keyset has no PubAck."""
    acked = times.acked_at.get(key.kid)
    return None if acked is None else max(float(key.sign_from), acked + times.bound_s)


def phase_of(
    key: KeysetKey,
    revoked: Iterable[str],
    active: str | None,
    now: float,
    times: KeyTimes,
) -> Phase:
    """The key's phase at ``now``."""
    if key.kid in revoked:
        return Phase.REVOKED
    if now > key.verify_until:
        return Phase.EXPIRED
    if now > key.sign_until:
        return Phase.RETIRING
    start = usable_from(key, times)
    if start is None or now < start:
        return Phase.PENDING
    if key.kid == active:
        return Phase.ACTIVE
    # A key that has been rotated away may sign a little longer, for replicas that have not heard of
    # it; nothing ever rotates back to it.
    return Phase.STANDBY if key.sign_until > now + _retiring_s(times) else Phase.RETIRING


def _retiring_s(times: KeyTimes) -> float:
    return times.bound_s + RETIRE_GRACE_S + 1


def token_keys(keyset: Keyset) -> list[KeysetKey]:
    """The token keys, oldest first."""
    keys = [key for key in keyset.keys if key.use == "token"]
    return sorted(keys, key=lambda key: (key.publish_at, key.kid))


def standbys(
    keyset: Keyset, revoked: Iterable[str], active: str | None, now: float, times: KeyTimes
) -> list[str]:
    """The keys that could sign at once, the one that may sign longest first."""
    ready = [
        key
        for key in token_keys(keyset)
        if phase_of(key, revoked, active, now, times) is Phase.STANDBY
    ]
    ready.sort(key=lambda key: (-key.sign_until, key.kid))
    return [key.kid for key in ready]


def choose_active(
    keyset: Keyset, revoked: Iterable[str], active: str | None, now: float, times: KeyTimes
) -> str:
    """The key to sign with: the active one for as long as it may, else a standby.

    Raises:
        RequestRejected: ``no_signing_key`` (503): every key is revoked, too young or too old.
    """
    for key in token_keys(keyset):
        if key.kid == active and phase_of(key, revoked, active, now, times) is Phase.ACTIVE:
            return key.kid
    ready = standbys(keyset, revoked, active, now, times)
    if not ready:
        raise RequestRejected("no_signing_key", "no token key may sign now", 503)
    return ready[0]


def successor(
    keyset: Keyset, revoked: Iterable[str], active: str | None, now: float, times: KeyTimes
) -> str:
    """The key that a rotation moves to.

    Raises:
        RequestRejected: ``standby_too_young`` (409) while the standby has not been published for
            the bound B, ``no_standby`` (409) where there is none.
    """
    ready = standbys(keyset, revoked, active, now, times)
    if ready:
        return ready[0]
    phases = {phase_of(key, revoked, active, now, times) for key in token_keys(keyset)}
    if Phase.PENDING in phases:
        raise RequestRejected(
            "standby_too_young", "the standby has not been published for the bound B yet", 409
        )
    raise RequestRejected("no_standby", "no token key stands by", 409)


def next_keyset(
    keyset: Keyset,
    *,
    active: str | None,
    retiring: str | None,
    added: KeysetKey,
    revoked: Iterable[str],
    now: int,
    expires_at: int,
    bound_s: int,
) -> Keyset:
    """The keyset after a move to ``active``: ``retiring`` signs no more, ``added`` stands by.

    Tokens that the old key has signed are good until they expire. What is expired or revoked is
    left out.
    """
    last_signature = now + bound_s + RETIRE_GRACE_S
    last_use = last_signature + keyset.policy.max_token_life_s + EXP_LEEWAY_S
    keys: list[KeysetKey] = []
    for key in keyset.keys:
        if key.use == "ledger":
            keys.append(key)
        elif key.kid in revoked or now > key.verify_until:
            continue
        elif key.kid == active:
            keys.append(
                structs.replace(
                    key,
                    sign_until=max(key.sign_until, expires_at),
                    verify_until=max(key.verify_until, added.verify_until),
                )
            )
        elif key.kid != retiring:
            keys.append(key)
        else:
            keys.append(
                structs.replace(
                    key,
                    sign_until=max(key.sign_from, min(key.sign_until, last_signature)),
                    verify_until=max(key.sign_from, min(key.verify_until, last_use)),
                )
            )
    return structs.replace(
        keyset,
        version=keyset.version + 1,
        issued_at=now,
        expires_at=expires_at,
        keys=(*keys, added),
    )


def with_foreign_issuers(
    keyset: Keyset,
    foreign: tuple[ForeignIssuer, ...],
    *,
    max_token_life_s: int | None,
    now: int,
) -> Keyset | None:
    """The keyset that names these foreign issuers and allows tokens of that life (seconds), or None
    where that is the one given. Keys, windows and the date of its end stay.
    """
    allowed = max(keyset.policy.max_token_life_s, max_token_life_s or 0)
    policy = structs.replace(keyset.policy, max_token_life_s=allowed)
    if (foreign, policy) == (keyset.foreign_issuers, keyset.policy):
        return None
    return structs.replace(
        keyset,
        version=keyset.version + 1,
        issued_at=min(now, keyset.expires_at - 1),
        policy=policy,
        foreign_issuers=foreign,
    )
