"""The life of a token key: published, standing by, signing, retiring, gone.

The keyset's windows say what a key may do, the roots having signed them; which of the permitted
keys signs is decided here. Keys take turns in the order in which their windows for signing end, so
one keyset holds the schedule of several rotations, and no root is needed to go through it. A key
that has just been published must wait for the bound B, until no agent can still be accepting tokens
without knowing it (I9); so one is always kept standing by.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from tocsin_schemas.errors import RequestRejected
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


class Situation(NamedTuple):
    """What is asked about: the arguments of the functions below, in their order."""

    keyset: Keyset
    revoked: Collection[str]
    active: str | None
    now: float
    times: KeyTimes


def known_since(keyset: Keyset, now: float) -> float:
    """The PubAck time to note for a key that is first seen in the ledger now.

    The keys of the first keyset need not wait: no agent was ever live without them.
    """
    return 0.0 if keyset.version == 1 else now


def usable_from(key: KeysetKey, times: KeyTimes) -> float | None:
    """When the key may first sign, or None while its keyset has no PubAck."""
    acked = times.acked_at.get(key.kid)
    return None if acked is None else max(float(key.sign_from), acked + times.bound_s)


def token_keys(keyset: Keyset) -> list[KeysetKey]:
    """The token keys, in the order of their turns."""
    keys = [key for key in keyset.keys if key.use == "token"]
    return sorted(keys, key=lambda key: (key.sign_until, key.publish_at, key.kid))


def turn_ends(key: KeysetKey, times: KeyTimes) -> float:
    """When the next key takes over: while every replica can still leave this one in time."""
    return key.sign_until - times.bound_s - RETIRE_GRACE_S - 1


def phases(
    keyset: Keyset, revoked: Iterable[str], active: str | None, now: float, times: KeyTimes
) -> dict[str, Phase]:
    """The phase of each token key at ``now``, in the order of their turns."""
    keys = token_keys(keyset)
    kids = [key.kid for key in keys]
    first = kids.index(active) if active in kids else 0
    return {
        key.kid: _phase_of(key, revoked, active, now, times, passed=place < first)
        for place, key in enumerate(keys)
    }


def _phase_of(
    key: KeysetKey,
    revoked: Iterable[str],
    active: str | None,
    now: float,
    times: KeyTimes,
    *,
    passed: bool,
) -> Phase:
    """``passed``: its turn is before the active key's. Nothing ever rotates back to it."""
    if key.kid in revoked:
        return Phase.REVOKED
    if now > key.verify_until:
        return Phase.EXPIRED
    if passed or now > key.sign_until:
        return Phase.RETIRING
    start = usable_from(key, times)
    if start is None or now < start:
        return Phase.PENDING
    if key.kid == active:
        return Phase.ACTIVE
    # A key that has been rotated away may sign a little longer, for replicas that have not heard of
    # it.
    return Phase.STANDBY if now < turn_ends(key, times) else Phase.RETIRING


def standbys(
    keyset: Keyset, revoked: Iterable[str], active: str | None, now: float, times: KeyTimes
) -> list[str]:
    """The keys that could sign at once, the next one first."""
    found = phases(keyset, revoked, active, now, times)
    return [kid for kid, phase in found.items() if phase is Phase.STANDBY]


def choose_active(
    keyset: Keyset, revoked: Iterable[str], active: str | None, now: float, times: KeyTimes
) -> str:
    """The key to sign with: the active one until its turn ends, then the next that may.

    A key whose turn is over goes on for as long as it may sign where no other key can.

    Raises:
        RequestRejected: ``no_signing_key`` (503): every key is revoked, too young or too old.
    """
    current = next((key for key in keyset.keys if key.kid == active and key.use == "token"), None)
    if current is not None:
        phase = _phase_of(current, revoked, active, now, times, passed=False)
        current = current if phase is Phase.ACTIVE else None
    # Asked for each token: while a turn lasts, nobody looks at the other keys.
    if current is not None and now < turn_ends(current, times):
        return current.kid
    ready = standbys(keyset, revoked, active, now, times)
    if ready:
        return ready[0]
    if current is None:
        raise RequestRejected("no_signing_key", "no token key may sign now", 503)
    return current.kid


def successor(
    keyset: Keyset, revoked: Iterable[str], active: str | None, now: float, times: KeyTimes
) -> str:
    """The key that a rotation moves to.

    Raises:
        RequestRejected: ``standby_too_young`` (409) while the standby has not been published for
            the bound B, ``no_standby`` (409) where there is none.
    """
    found = phases(keyset, revoked, active, now, times)
    for kid, phase in found.items():
        if phase is Phase.STANDBY:
            return kid
    if Phase.PENDING in found.values():
        raise RequestRejected(
            "standby_too_young", "the standby has not been published for the bound B yet", 409
        )
    raise RequestRejected("no_standby", "no token key stands by", 409)
