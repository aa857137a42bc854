"""What an operator must hear of before it happens: a keyset or a schedule that comes to its end."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from tocsin_issuer.core import key_life_cycle
from tocsin_issuer.core.key_life_cycle import Phase, Situation
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.keyset import Keyset

AHEAD_S: Final = 30 * 24 * 3600
_STILL_TO_COME: Final = (Phase.ACTIVE, Phase.STANDBY, Phase.PENDING)
_URGENT: Final = frozenset(
    ("keyset_expired", "no_ledger_key", "no_signing_key", "no_standby", "key_missing")
)


@dataclass(frozen=True, slots=True, order=True)
class Notice:
    """``at`` is when it takes effect, in seconds of UTC; ``kid`` the key that it is about, if any.

    ``code`` is one of ``keyset_expires``, ``keyset_expired``, ``schedule_ends`` (the last key that
    is listed starts its turn), ``no_standby``, ``no_signing_key``, ``ledger_key_ends``,
    ``no_ledger_key`` and ``key_missing`` (its private half is not here).
    """

    at: int
    code: str
    kid: str = ""

    @property
    def urgent(self) -> bool:
        """Whether something is missing already."""
        return self.code in _URGENT


def notices(situation: Situation, held: Collection[str]) -> list[Notice]:
    """What is to be said, the nearest first. ``held`` are the kids whose private keys are here."""
    found = [
        *_of_the_keyset(situation.keyset, situation.now),
        *_of_token_keys(situation, held),
        *_of_ledger_keys(situation, held),
    ]
    return sorted(found)


def _of_the_keyset(keyset: Keyset, now: float) -> list[Notice]:
    if now >= keyset.expires_at:
        return [Notice(keyset.expires_at, "keyset_expired")]
    if keyset.expires_at - now <= AHEAD_S:
        return [Notice(keyset.expires_at, "keyset_expires")]
    return []


def _of_token_keys(situation: Situation, held: Collection[str]) -> list[Notice]:
    keyset, now, times = situation.keyset, situation.now, situation.times
    phases = key_life_cycle.phases(*situation)
    coming = [key for key in key_life_cycle.token_keys(keyset) if phases[key.kid] in _STILL_TO_COME]
    found = [Notice(int(now), "key_missing", key.kid) for key in coming if key.kid not in held]
    try:
        signing = key_life_cycle.choose_active(*situation)
    except RequestRejected:
        return [*found, Notice(int(now), "no_signing_key")]
    after = [key for key in coming if key.kid != signing]
    if not after:
        return [*found, Notice(int(now), "no_standby", signing)]
    if len(after) == 1:
        begins = next(key_life_cycle.turn_ends(key, times) for key in coming if key.kid == signing)
        if begins - now <= AHEAD_S:
            found.append(Notice(int(begins), "schedule_ends", after[0].kid))
    return found


def _of_ledger_keys(situation: Situation, held: Collection[str]) -> list[Notice]:
    keyset, now = situation.keyset, situation.now
    good = [
        key
        for key in keyset.keys
        if key.use == "ledger"
        and key.kid in held
        and key.kid not in situation.revoked
        and now <= key.sign_until
    ]
    if not good:
        return [Notice(int(now), "no_ledger_key")]
    last = max(good, key=lambda key: key.sign_until)
    if last.sign_until - now <= AHEAD_S and last.sign_until < keyset.expires_at:
        return [Notice(last.sign_until, "ledger_key_ends", last.kid)]
    return []
