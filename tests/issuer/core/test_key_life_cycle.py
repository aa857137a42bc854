"""The phases of a token key, and what a rotation does to a keyset."""

import pytest
from msgspec import structs

from tests.support.keys import signer
from tests.support.ledger import key_entry, make_keyset
from tocsin_issuer.core.key_life_cycle import (
    RETIRE_GRACE_S,
    KeyTimes,
    Phase,
    choose_active,
    known_since,
    standbys,
    successor,
    token_keys,
    usable_from,
)
from tocsin_issuer.core.key_life_cycle import phases as phases_of
from tocsin_issuer.core.keyset_drafts import next_keyset
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.keyset import Keyset

NOW = 1_760_002_200
DAY = 24 * 3600
BOUND_S = 120.06
FIRST, SECOND = (key.kid for key in token_keys(make_keyset()))
KNOWN = KeyTimes({FIRST: 0.0, SECOND: 0.0}, BOUND_S)


def phases(
    keyset: Keyset,
    active: str | None,
    *,
    revoked: frozenset[str] = frozenset(),
    times: KeyTimes = KNOWN,
    now: float = NOW,
) -> dict[str, Phase]:
    return phases_of(keyset, revoked, active, now, times)


def rotated(keyset: Keyset, active: str, retiring: str | None, **changes: object) -> Keyset:
    until = NOW + 40 * DAY
    added = key_entry(
        signer("Ed25519", "third"), "token", publish_at=NOW, sign_from=NOW, sign_until=until
    )
    return next_keyset(
        keyset,
        active=active,
        retiring=retiring,
        added=added,
        revoked=changes.get("revoked", ()),  # type: ignore[arg-type]
        now=NOW,
        expires_at=until,
        bound_s=121,
    )


def test_one_signs_and_one_stands_by() -> None:
    keyset = make_keyset()
    assert choose_active(keyset, (), FIRST, NOW, KNOWN) == FIRST
    assert phases(keyset, FIRST) == {FIRST: Phase.ACTIVE, SECOND: Phase.STANDBY}
    assert successor(keyset, (), FIRST, NOW, KNOWN) == SECOND


def test_a_key_waits_for_the_bound_after_its_pub_ack() -> None:
    """I9."""
    times = KeyTimes({FIRST: 0.0, SECOND: NOW}, BOUND_S)
    keyset = make_keyset(2)
    assert phases(keyset, FIRST, times=times)[SECOND] is Phase.PENDING
    with pytest.raises(RequestRejected) as young:
        successor(keyset, (), FIRST, NOW, times)
    assert young.value.code == "standby_too_young"
    assert successor(keyset, (), FIRST, NOW + BOUND_S, times) == SECOND
    with pytest.raises(RequestRejected):
        successor(keyset, (), FIRST, NOW + BOUND_S - 0.001, times)


def test_a_key_without_a_pub_ack_never_signs() -> None:
    times = KeyTimes({FIRST: 0.0}, BOUND_S)
    key = next(key for key in token_keys(make_keyset()) if key.kid == SECOND)
    assert usable_from(key, times) is None
    assert phases(make_keyset(), SECOND, times=times, now=NOW + DAY)[SECOND] is Phase.PENDING


def test_only_the_first_keyset_need_not_wait() -> None:
    assert known_since(make_keyset(1), NOW) == 0.0
    assert known_since(make_keyset(2), NOW) == NOW


def test_a_revoked_active_key_is_replaced_at_once() -> None:
    keyset = make_keyset()
    assert choose_active(keyset, {FIRST}, FIRST, NOW, KNOWN) == SECOND
    with pytest.raises(RequestRejected) as nothing:
        choose_active(keyset, {FIRST, SECOND}, FIRST, NOW, KNOWN)
    assert (nothing.value.code, nothing.value.status) == ("no_signing_key", 503)


def test_a_rotation_retires_the_old_key_and_adds_a_standby() -> None:
    keyset = make_keyset()
    following = rotated(keyset, SECOND, FIRST)
    third = signer("Ed25519", "third").kid
    assert following.version == keyset.version + 1
    times = KeyTimes({FIRST: 0.0, SECOND: 0.0, third: float(NOW)}, BOUND_S)
    assert phases(following, SECOND, times=times) == {
        FIRST: Phase.RETIRING,
        SECOND: Phase.ACTIVE,
        third: Phase.PENDING,
    }
    retired = next(key for key in token_keys(following) if key.kid == FIRST)
    assert retired.sign_until == NOW + 121 + RETIRE_GRACE_S
    # What it signed until then stays good for the longest life of a token, leeway included.
    assert retired.verify_until == retired.sign_until + keyset.policy.max_token_life_s + 30


def test_nothing_ever_rotates_back_to_a_retiring_key() -> None:
    following = rotated(make_keyset(), SECOND, FIRST)
    for later in (0, 1, 60, 119):
        assert FIRST not in standbys(following, (), SECOND, NOW + later, KNOWN)
        with pytest.raises(RequestRejected):
            choose_active(following, {SECOND}, SECOND, NOW + later, KNOWN)


def test_a_rotation_drops_what_is_revoked_or_over() -> None:
    keyset = make_keyset()
    assert FIRST not in {key.kid for key in rotated(keyset, SECOND, None, revoked={FIRST}).keys}
    old = structs.replace(keyset.keys[1], sign_until=NOW - 2, verify_until=NOW - 1)
    over = structs.replace(keyset, keys=(keyset.keys[0], old, keyset.keys[2]))
    kept = rotated(over, keyset.keys[2].kid, None)
    assert old.kid not in {key.kid for key in kept.keys}
    ledger = next(key for key in kept.keys if key.use == "ledger")
    assert ledger.kid == keyset.keys[0].kid
    assert ledger.sign_until == kept.expires_at  # or the ledger would end before its keyset
