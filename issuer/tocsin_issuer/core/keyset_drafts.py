"""The keysets that may follow the one in force, unsigned: what the roots are asked to sign."""

from collections.abc import Collection, Sequence

from msgspec import structs

from tocsin_issuer.core.key_life_cycle import RETIRE_GRACE_S, token_keys
from tocsin_schemas.claims import EXP_LEEWAY_S
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.issuer_profile import ForeignIssuer
from tocsin_schemas.keyset import MAX_KEYSET_LIFE_S, Keyset, KeysetKey, Policy, RootSet


def next_keyset(
    keyset: Keyset,
    *,
    active: str | None,
    retiring: str | None,
    added: KeysetKey,
    revoked: Collection[str],
    now: int,
    expires_at: int,
    bound_s: int,
) -> Keyset:
    """The keyset after a move to ``active``: ``retiring`` signs no more, ``added`` stands by.

    Tokens that the old key has signed are good until they expire. What is expired or revoked is
    left out. The active key, those that come after it, and the ledger keys last as long as the
    keyset.
    """
    to_come = {key.kid for key in _to_come(keyset, active, revoked)}
    keys: list[KeysetKey] = []
    for key in keyset.keys:
        if key.kid in revoked or now > key.verify_until:
            continue
        if key.kid == retiring:
            keys.append(_retired(keyset, key, now, bound_s))
        elif key.use == "ledger" or key.kid in to_come:
            keys.append(_until(key, expires_at, added.verify_until))
        else:
            keys.append(key)
    return structs.replace(
        keyset,
        version=keyset.version + 1,
        issued_at=now,
        expires_at=expires_at,
        keys=(*keys, added),
    )


def scheduled_keyset(
    keyset: Keyset,
    *,
    active: str | None,
    added: Sequence[KeysetKey],
    revoked: Collection[str],
    now: int,
    every_s: int,
    bound_s: int,
    roots: RootSet | None = None,
    policy: Policy | None = None,
    dropped: Collection[str] = (),
    life_s: int = MAX_KEYSET_LIFE_S,
) -> Keyset:
    """A keyset that holds the schedule of several rotations, ``every_s`` seconds apart.

    The active key, those that stand by and then the ``added`` token keys take turns in this order;
    all of them may sign from their publication on, so that any can step in. A turn that ends sooner
    than in ``every_s`` still ends then. The last one goes on for as long as the keyset.

    ``dropped`` are the kids that the keyset is not to list any more.

    Raises:
        RequestRejected: ``no_standby`` (409) where fewer than two token keys would be left,
            ``no_ledger_key`` (409), or ``rotation_period`` (400) where a key's turn would be over
            before the bound B lets the next one sign.
    """
    if every_s < bound_s:
        raise RequestRejected("rotation_period", "a turn lasts at least the bound B")
    gone = {*revoked, *dropped}
    expires_at = now + life_s
    kept = [key for key in keyset.keys if key.kid not in gone and now <= key.verify_until]
    turns = [*_to_come(keyset, active, gone), *(key for key in added if key.use == "token")]
    ledger = [key for key in (*kept, *added) if key.use == "ledger"]
    if len(turns) < 2:
        raise RequestRejected("no_standby", "a keyset lists a token key that stands by", 409)
    if not ledger:
        raise RequestRejected("no_ledger_key", "a keyset lists a ledger key", 409)
    allowed = keyset.policy if policy is None else policy
    slack = bound_s + RETIRE_GRACE_S + 1
    ends = min(now + every_s, turns[0].sign_until - slack) if active == turns[0].kid else 0
    ends = ends if ends > now else now + every_s
    planned: list[KeysetKey] = []
    for place, key in enumerate(turns):
        until = ends + place * every_s + slack
        if place == len(turns) - 1:
            until = max(until, expires_at)
        planned.append(_until(key, until, until + allowed.max_token_life_s + EXP_LEEWAY_S))
    known = {key.kid for key in turns}
    past = [key for key in kept if key.use == "token" and key.kid not in known]
    return structs.replace(
        keyset,
        version=keyset.version + 1,
        issued_at=now,
        expires_at=expires_at,
        roots=keyset.roots if roots is None else roots,
        policy=allowed,
        keys=(
            *(_until(key, expires_at, expires_at) for key in ledger),
            *(_retired(keyset, key, now, bound_s) for key in past),
            *planned,
        ),
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


def _to_come(keyset: Keyset, active: str | None, gone: Collection[str]) -> list[KeysetKey]:
    """The active key and those whose turn is after it."""
    keys = token_keys(keyset)
    kids = [key.kid for key in keys]
    first = kids.index(active) if active in kids else 0
    return [key for key in keys[first:] if key.kid not in gone]


def _until(key: KeysetKey, sign_until: int, verify_until: int) -> KeysetKey:
    """A key never loses time for which its tokens were promised to be good."""
    return structs.replace(
        key,
        sign_until=max(key.sign_from, sign_until),
        verify_until=max(key.verify_until, sign_until, verify_until),
    )


def _retired(keyset: Keyset, key: KeysetKey, now: int, bound_s: int) -> KeysetKey:
    """It signs no more, but for a replica that has not heard of it."""
    last_signature = min(key.sign_until, now + bound_s + RETIRE_GRACE_S)
    last_use = last_signature + keyset.policy.max_token_life_s + EXP_LEEWAY_S
    return structs.replace(
        key,
        sign_until=max(key.sign_from, last_signature),
        verify_until=max(key.sign_from, min(key.verify_until, last_use)),
    )
