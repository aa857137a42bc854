"""The order of checks: lease, cache, header, key, signature, claims, rules, and the clock last.

The lease's end is read *before* the rules and the clock *after* them: the state may only have grown
in between, so the answer is as good as the lease says it is.
"""

import math
from collections.abc import Callable, Iterable, Mapping

from cryptography.exceptions import InvalidSignature
from msgspec import UNSET

from tocsin_revocation_bus.core.state import TokenFacts
from tocsin_schemas import base64url, jws, strict_json
from tocsin_schemas.claims import ACCESS_TOKEN_TYP, EXP_LEEWAY_S, IAT_AHEAD_S
from tocsin_schemas.errors import AgentStale, EncodingRejected, JwsRejected, TokenRejected
from tocsin_schemas.jws import Header
from tocsin_verifier_agent.core import access_token, foreign_token
from tocsin_verifier_agent.core.access_token import AccessToken
from tocsin_verifier_agent.core.authority import Authority, TrustedKey
from tocsin_verifier_agent.core.claims_check import (
    check_audience,
    check_expiry,
    check_times,
    facts_from,
    foreign_facts_from,
)
from tocsin_verifier_agent.core.confirmation import Certificate, check_certificate
from tocsin_verifier_agent.core.token_cache import TAIL, CachedToken, TokenCache
from tocsin_verifier_agent.core.verified import Verified

MAX_TOKEN_LENGTH = 8192
_MAX_HEADERS = 256
_SLOWED = 4.0  # what passes on the lease clock, at most, for each second of the quick one
_GRAIN_S = 1e-5  # what a sum of seconds may be rounded by, with clocks that have run for centuries


class TokenVerifier:
    """Verifies access tokens of some issuers.

    ``audiences`` maps each issuer to accept to our names in its tokens; None accepts tokens for
    anybody, which is for whoever answers for all of them. ``lease_clock`` returns
    nanoseconds of the clock that leases are counted on, ``wall_clock`` seconds of UTC. ``typ`` is
    the header type of our own issuer's access tokens; a foreign issuer's profile has its own.

    ``quick_clock`` is one that costs less to read, in seconds: it never goes back, and shows at
    least a quarter of what passes on the lease clock. While it shows by itself that a lease is far
    from lapsed, the lease clock is not read.
    """

    def __init__(
        self,
        authority: Authority,
        *,
        audiences: Mapping[str, frozenset[str] | None],
        lease_clock: Callable[[], int],
        wall_clock: Callable[[], float],
        quick_clock: Callable[[], float] | None = None,
        typ: str = ACCESS_TOKEN_TYP,
        cache: TokenCache | None = None,
    ) -> None:
        self._authority = authority
        self._rules = authority.rules
        self._audiences = dict(audiences)
        self._lease_clock = lease_clock
        self._wall_clock = wall_clock
        if quick_clock is None:
            quick_clock = _in_seconds(lease_clock)
        self._quick_clock = quick_clock
        self._typ = typ
        self._cache = TokenCache() if cache is None else cache
        self._ending_with = self._cache.ending_with
        self._headers: dict[str, Header] = {}
        self._latest = 0  # reading of the lease clock
        # An end of a lease, and what `_left` has found out about it.
        self._known = (0, -math.inf, 0.0)

    def verify(
        self,
        token: str,
        max_staleness_ns: int | None = None,
        certificate: Certificate = None,
    ) -> Verified:
        """Accept a token, or say why not. ``certificate`` is what the peer has shown.

        Raises:
            TokenRejected: it must not be accepted (401).
            AgentStale: nobody can say (503).
        """
        wall = self._wall_clock()
        until = self._authority.valid_until(max_staleness_ns, wall)
        if until is None:
            raise self._stale(wall)
        seen = entry = self._ending_with(token[TAIL:]) if type(token) is str else None
        if entry is not None and entry.text != token:
            entry = None
        if entry is None or entry.generation != self._rules.generation or wall >= entry.not_after:
            entry = self._look_closely(token, entry, until, wall)
        if entry.bound_to is not None:
            check_certificate(entry.bound_to, certificate)
        known, surely, enough = self._known
        if known != until or not (left := surely - _SLOWED * self._quick_clock()) > enough:
            left = self._left(until, keep=max_staleness_ns is None)
        if not left >= 0:
            raise self._stale(wall)
        if seen is not entry:
            self._cache.put(entry)
        ends = wall + left
        not_after = entry.not_after
        return Verified(entry.payload, entry.token, ends if ends < not_after else not_after)

    def verify_unproven(
        self, token: str, *, obey_rules: bool, certificate: Certificate = None
    ) -> CachedToken:
        """All checks but the lease; without ``obey_rules`` no rule and no key window either.

        For whoever may go on without a proof of being up to date, and says so.

        Raises:
            TokenRejected: signature or claims are bad, or a rule that is known hits.
            AgentStale: no key of that name is known; the newest keyset may have it.
        """
        wall = self._wall_clock()
        try:
            entry, facts = self._read(token, wall)
            if entry.bound_to is not None:
                check_certificate(entry.bound_to, certificate)
            if obey_rules:
                self._check_rules(entry, facts, wall)
        except TokenRejected as rejected:
            if rejected.code == "kid":
                raise self._stale(wall) from None
            raise
        return entry

    def _left(self, until: int, *, keep: bool) -> float:
        """Seconds until then, by the lease clock; ``keep`` where many will ask about this end.

        Noted is what the quick clock tells of them from now on. What it shows may be a quarter of
        what passes, so four times that is taken off; and when half of them may be gone, the lease
        clock is read again. It is read last here: what passes in between counts twice.
        """
        quick = self._quick_clock()
        now = self._latest = self._lease_clock()
        left = (until - now) * 1e-9
        if keep:
            self._known = until, left + _SLOWED * quick, left / 2 + _GRAIN_S
        return left

    def _stale(self, wall: float) -> AgentStale:
        return AgentStale(self._authority.stale_reason(self._lease_clock(), wall))

    def _look_closely(
        self, token: str, entry: CachedToken | None, until: int, wall: float
    ) -> CachedToken:
        """A token that is new, or whose last look is out of date. Stale beats rejected."""
        if until < self._latest:  # that clock never goes back: no work for what cannot be answered
            raise self._stale(wall)
        try:
            if entry is not None and self._is_trusted_as_before(entry):
                self._again(entry, wall)
                return entry
            entry, facts = self._read(token, wall)
            self._check_rules(entry, facts, wall)
            return entry
        except TokenRejected:
            if entry is not None:
                self._cache.discard(token)
            now = self._latest = self._lease_clock()
            if now > until:
                raise self._stale(wall) from None
            raise

    def _is_trusted_as_before(self, entry: CachedToken) -> bool:
        """Whether nothing has changed in how its key's tokens are read: a new keyset may bring the
        key another window, its issuer another profile, or all tokens a shorter life. Then the token
        is read as if it had never been seen.
        """
        return entry.key in self._authority.keys(entry.kid)

    def _again(self, entry: CachedToken, wall: float) -> None:
        """The generation is read before the rules, so that a change in between is seen next time.

        While it stands still so does G, and then the token's and its key's times are all that is
        left to look at: ``not_after``. Nothing else of an entry ever changes, and threads that look
        at the same time each note a generation that they have looked at.
        """
        generation = self._rules.generation
        check_expiry(entry.token.exp, wall, self._rules.horizon)
        self._check_rules(entry, _facts(entry.key, entry.token), wall)
        entry.generation = generation

    def _check_rules(self, entry: CachedToken, facts: TokenFacts, wall: float) -> None:
        rules, token, window = self._rules, entry.token, entry.key.window
        if window is not None and not (
            window.sign_from - IAT_AHEAD_S <= token.iat <= window.sign_until
            and wall <= window.verify_until
            and rules.horizon <= window.verify_until
        ):
            raise TokenRejected("key_window")
        code = rules.why_rejected(facts)
        if code is not None:
            raise TokenRejected(code)
        # A rule may have gone while we looked; then the ledger's time says that the token has too.
        check_expiry(token.exp, wall, rules.horizon)

    def _read(self, token: str, wall: float) -> tuple[CachedToken, TokenFacts]:
        """Header, key, signature and claims."""
        generation = self._rules.generation
        try:
            head, body, signature, signed = jws.split(token, MAX_TOKEN_LENGTH)
            header = self._headers.get(head)
            known = header is not None
            if header is None:
                header = jws.parse_header(head)
            candidates = self._authority.keys(header.kid)
            if len(candidates) > 1:
                candidates = self._of_its_issuer(candidates, body)
            key = _signed_by(candidates, header, signed, signature)
            payload = base64url.decode(body)
            if key.is_ours:
                if header.typ != self._typ:
                    raise TokenRejected("typ")
                read = access_token.read(payload)
            else:
                read = _foreign_claims(payload, header, key)
            iss = read.iss
            if iss not in key.profiles or iss not in self._audiences:
                raise TokenRejected("iss")
        except JwsRejected as rejected:
            raise TokenRejected(rejected.code) from None
        except EncodingRejected:
            raise TokenRejected("payload") from None
        if not known and len(self._headers) < _MAX_HEADERS:
            self._headers[head] = header  # only after a good signature: bad tokens fill nothing
        audiences = self._audiences[iss]
        if audiences is not None:
            check_audience(read, audiences)
        check_times(read, wall, self._rules.horizon, key.max_life_s)
        facts = _facts(key, read)
        ends, window = read.exp + EXP_LEEWAY_S, key.window
        if window is not None and window.verify_until < ends:
            ends = window.verify_until
        bound_to = None if read.cnf is UNSET else read.cnf.x5t_s256
        entry = CachedToken(
            token, payload, read, header.kid, key, generation, float(ends), bound_to
        )
        return entry, facts

    def _of_its_issuer(self, candidates: Iterable[TrustedKey], body: str) -> tuple[TrustedKey, ...]:
        """Of keys that many issuers gave one name, those of the issuer that the token names: else
        one token could cost a signature for each of them.

        Raises:
            EncodingRejected: the payload is not one strict JSON object.
            TokenRejected: ``iss``, or ``kid`` where that issuer has no key of the name.
        """
        claims = strict_json.loads_object(base64url.decode(body), access_token.MAX_VALUES)
        iss = claims.get("iss")
        if type(iss) is not str or iss not in self._audiences:
            raise TokenRejected("iss")
        found = tuple(key for key in candidates if iss in key.profiles)
        if not found:
            raise TokenRejected("kid")
        return found


def _in_seconds(clock: Callable[[], int]) -> Callable[[], float]:
    return lambda: clock() * 1e-9


def _signed_by(
    candidates: Iterable[TrustedKey], header: Header, signed: str, signature: str
) -> TrustedKey:
    """The key that signed it.

    Raises:
        JwsRejected: ``kid``; ``alg`` or ``signature`` of the last key tried.
    """
    code = "kid"
    for trusted in candidates:
        code = "signature"
        if header.alg not in trusted.key.algs:
            code = "alg"
            continue
        try:
            trusted.key.verify(base64url.decode(signature), signed.encode("ascii"))
        except (InvalidSignature, EncodingRejected, UnicodeEncodeError):
            continue
        return trusted
    raise JwsRejected(code)


def _foreign_claims(payload: bytes, header: Header, key: TrustedKey) -> AccessToken:
    """The claims: its issuer must be one that the key signs for."""
    claims = strict_json.loads_object(payload, access_token.MAX_VALUES)
    iss = claims.get("iss")
    profile = key.profiles.get(iss) if type(iss) is str else None
    if profile is None:
        raise TokenRejected("iss")
    return foreign_token.read(profile, header.typ, claims)


def _facts(key: TrustedKey, token: AccessToken) -> TokenFacts:
    """What the rules look at. They are not kept: to make them again costs less than their memory.

    Raises:
        TokenRejected: ``jti`` or ``act``.
    """
    if key.is_ours:
        return facts_from(key.thumbprint, token, own_jti=key.own_jti)
    return foreign_facts_from(key.thumbprint, token)
