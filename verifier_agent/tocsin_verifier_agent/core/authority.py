"""Where a verifier's keys, rules and lease come from."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from msgspec import Struct, structs

from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.core.state import TokenFacts
from tocsin_revocation_bus.core.trust import Trust
from tocsin_schemas import jwk
from tocsin_schemas.issuer_profile import IssuerProfile
from tocsin_schemas.jwk import PublicKey
from tocsin_schemas.keyset import KeysetKey

FOREVER = 2**63


class TrustedKey(Struct, frozen=True):
    """A key, and whose tokens it may sign.

    Attributes:
        key: the key.
        thumbprint: what it is revoked by, whatever its kid.
        profiles: maps each of its issuers to how that one writes tokens, or to None where that is
            RFC 9068, as ours does (``is_ours``).
        is_ours: whether it is our own issuer's.
        own_jti: whether each jti must name a lane.
        max_life_s: the longest life that a token of it may claim.
        window: when it may sign; a foreign issuer's key is good while it is listed.
    """

    key: PublicKey
    thumbprint: str
    profiles: Mapping[str, IssuerProfile | None]
    is_ours: bool
    own_jti: bool
    max_life_s: int
    window: KeysetKey | None = None


class Rules(Protocol):
    """The denylist; :class:`tocsin_revocation_bus.core.state.State` is one."""

    @property
    def generation(self) -> int:
        """Moves after every change of keys or rules."""
        ...

    @property
    def horizon(self) -> int:
        """G: a time that has surely passed, in seconds of UTC."""
        ...

    def why_rejected(self, facts: TokenFacts) -> str | None:
        """The first rule that hits."""
        ...


class Authority(Protocol):
    """What a verifier goes by."""

    @property
    def rules(self) -> Rules:
        """Always the same object."""
        ...

    def keys(self, kid: str) -> tuple[TrustedKey, ...]:
        """The keys of that name, revoked or not. Two issuers may have chosen one name."""
        ...

    def valid_until(self, max_staleness_ns: int | None, wall: float) -> int | None:
        """Until when an answer may be given, in nanoseconds of the lease clock; None where nothing
        was ever proven. ``wall`` is in seconds of UTC.
        """
        ...

    def stale_reason(self, now: int, wall: float) -> str:
        """Why there is no lease, as a stable code."""
        ...


class LedgerAuthority:
    """A replica of the ledger, with its own rules unless others are given."""

    def __init__(self, replica: Replica, rules: Rules | None = None) -> None:
        self.rules: Rules = replica.state if rules is None else rules
        self._replica = replica
        self._table = _Table(replica.trust, replica.state.imported)

    def keys(self, kid: str) -> tuple[TrustedKey, ...]:
        """From the keyset in force, and from what the foreign issuers that it names publish."""
        table, replica = self._table, self._replica
        if table.trust is not replica.trust or table.imported is not replica.state.imported:
            table = self._table = _Table(replica.trust, replica.state.imported)
        return table.keys.get(kid, ())

    def valid_until(self, max_staleness_ns: int | None, wall: float) -> int | None:
        """The lease's end; an expired keyset vouches for nothing."""
        return self._replica.vouched_until(max_staleness_ns, wall)

    def stale_reason(self, now: int, wall: float) -> str:
        """The replica's one reason."""
        return self._replica.status(now, wall).reason or "lease_lapsed"


class _Table:
    """All keys by kid; made anew whenever the keyset or an import has changed, and never altered,
    since other threads read it. Empty while the pinned roots do not stand behind the keyset.
    """

    def __init__(self, trust: Trust, imported: Mapping[str, Mapping[str, PublicKey]]) -> None:
        self.trust = trust
        self.imported = imported
        keyset = trust.keyset if trust.anchored else None
        life_s = 0 if keyset is None else keyset.policy.max_token_life_s
        self.keys: dict[str, tuple[TrustedKey, ...]] = {
            kid: (TrustedKey(key, kid, {trust.issuer: None}, True, True, life_s, window),)
            for kid, key in (trust.token_keys if keyset else {}).items()
            for window in (trust.windows[kid],)
        }
        for issuer in () if keyset is None else keyset.foreign_issuers:
            for kid, key in imported.get(issuer.iss, {}).items():
                profiles = {issuer.iss: issuer.profile}
                found = TrustedKey(key, jwk.thumbprint(key.jwk), profiles, False, False, life_s)
                self.keys[kid] = _with(self.keys.get(kid, ()), found)


def _with(known: tuple[TrustedKey, ...], found: TrustedKey) -> tuple[TrustedKey, ...]:
    """Tenants of one provider share keys; a key of ours is never shared with anybody."""
    for place, one in enumerate(known):
        if one.thumbprint == found.thumbprint and not one.is_ours:
            key = replace(one.key, algs=one.key.algs | found.key.algs)  # Ed25519 has two names
            profiles = {**one.profiles, **found.profiles}
            shared = structs.replace(one, key=key, profiles=profiles)
            return (*known[:place], shared, *known[place + 1 :])
    return (*known, found)


class NoRules:
    """Nothing is ever revoked."""

    generation = 0
    horizon = 0

    def why_rejected(self, facts: TokenFacts) -> str | None:
        """No rule hits."""
        return None


class StaticAuthority:
    """Keys given once, and no ledger: nothing is ever revoked and nothing ever goes stale."""

    def __init__(
        self,
        keys: Mapping[str, PublicKey],
        issuer: str,
        profile: IssuerProfile | None,
        max_life_s: int,
    ) -> None:
        self.rules: Rules = NoRules()
        ours = profile is None
        self._keys = {
            kid: (
                TrustedKey(
                    key, jwk.thumbprint(key.jwk), {issuer: profile}, ours, False, max_life_s
                ),
            )
            for kid, key in keys.items()
        }

    def keys(self, kid: str) -> tuple[TrustedKey, ...]:
        """From the keys given."""
        return self._keys.get(kid, ())

    def valid_until(self, max_staleness_ns: int | None, wall: float) -> int | None:
        """For ever."""
        return FOREVER

    def stale_reason(self, now: int, wall: float) -> str:
        """Never asked for."""
        return "lease_lapsed"
