"""The order of checks: lease, cache, header, key, signature, claims, rules, and the clock last.

The lease's end is read *before* the rules and the clock *after* them: the state may only have grown
in between, so the answer is as good as the lease says it is.
"""

from collections.abc import Callable

from tocsin_schemas import base64url, jws, strict_json
from tocsin_schemas.claims import ACCESS_TOKEN_TYP, EXP_LEEWAY_S
from tocsin_schemas.errors import AgentStale, EncodingRejected, JwsRejected, TokenRejected
from tocsin_schemas.jws import Header
from tocsin_verifier_agent.core.authority import Authority
from tocsin_verifier_agent.core.claims_check import (
    check_audience,
    check_expiry,
    check_permissions,
    check_times,
    facts_from,
)
from tocsin_verifier_agent.core.token_cache import CachedToken, TokenCache
from tocsin_verifier_agent.core.verified import Verified

MAX_TOKEN_LENGTH = 8192
_MAX_HEADERS = 256


class TokenVerifier:
    """Verifies access tokens of one issuer for some audiences.

    ``lease_clock`` returns nanoseconds of the clock that leases are counted on, ``wall_clock``
    seconds of UTC.
    """

    def __init__(
        self,
        authority: Authority,
        *,
        issuer: str,
        audiences: frozenset[str],
        lease_clock: Callable[[], int],
        wall_clock: Callable[[], float],
        typ: str = ACCESS_TOKEN_TYP,
        cache: TokenCache | None = None,
    ) -> None:
        self._authority = authority
        self._issuer = issuer
        self._audiences = audiences
        self._lease_clock = lease_clock
        self._wall_clock = wall_clock
        self._typ = typ
        self._cache = TokenCache() if cache is None else cache
        self._cached = self._cache.get
        self._headers: dict[str, Header] = {}

    def verify(self, token: str, max_staleness_ns: int | None = None) -> Verified:
        """Accept a token, or say why not.

        Raises:
            TokenRejected: it must not be accepted (401).
            AgentStale: nobody can say (503).
        """
        authority = self._authority
        wall = self._wall_clock()
        until = authority.valid_until(max_staleness_ns, wall)
        if until is None:
            raise self._stale(wall)
        entry = self._cached(token) if type(token) is str else None
        if entry is None or entry.generation != authority.generation or wall >= entry.not_after:
            entry = self._look_closely(token, entry, until, wall)
        now = self._lease_clock()
        if now > until:
            raise self._stale(wall)
        ends = wall + (until - now) * 1e-9
        return Verified(entry.claims, ends if ends < entry.not_after else entry.not_after)

    def _stale(self, wall: float) -> AgentStale:
        return AgentStale(self._authority.stale_reason(self._lease_clock(), wall))

    def _look_closely(
        self, token: str, entry: CachedToken | None, until: int, wall: float
    ) -> CachedToken:
        """A token that is new, or whose last look is out of date. Stale beats rejected."""
        if self._lease_clock() > until:
            raise self._stale(wall)
        try:
            if entry is None:
                return self._first_sight(token, wall)
            self._again(token, entry, wall)
            return entry
        except TokenRejected:
            if self._lease_clock() > until:
                raise self._stale(wall) from None
            raise

    def _again(self, token: str, entry: CachedToken, wall: float) -> None:
        """The generation is read before the rules, so that a change in between is seen next time.

        While it stands still so does G, and then the token's and its key's times are all that is
        left to look at: ``not_after``.
        """
        generation = self._authority.generation
        try:
            check_expiry(entry.exp, wall, self._authority.horizon)
            self._check_key_and_rules(entry, wall)
        except TokenRejected:
            self._cache.discard(token)
            raise
        entry.not_after = self._not_after(entry)
        entry.generation = generation

    def _not_after(self, entry: CachedToken) -> float:
        return min(float(entry.exp + EXP_LEEWAY_S), self._authority.verify_until(entry.facts.kid))

    def _check_key_and_rules(self, entry: CachedToken, wall: float) -> None:
        authority, facts = self._authority, entry.facts
        if authority.key(facts.kid) is None:
            raise TokenRejected("kid")
        if not authority.in_window(facts.kid, entry.iat, wall):
            raise TokenRejected("key_window")
        code = authority.why_rejected(facts)
        if code is not None:
            raise TokenRejected(code)
        check_expiry(entry.exp, wall, authority.horizon)  # a rule may have gone while we looked

    def _first_sight(self, token: str, wall: float) -> CachedToken:
        authority = self._authority
        generation = authority.generation
        try:
            head, body, signature = jws.split(token, MAX_TOKEN_LENGTH)
            header = self._headers.get(head)
            known = header is not None
            if header is None:
                header = jws.parse_header(head)
            if header.typ != self._typ:
                raise TokenRejected("typ")
            key = authority.key(header.kid)
            if key is None:
                raise TokenRejected("kid")
            jws.check_signature(f"{head}.{body}", signature, header, key)
            claims = strict_json.loads_object(base64url.decode(body))
        except JwsRejected as rejected:
            raise TokenRejected(rejected.code) from None
        except EncodingRejected:
            raise TokenRejected("payload") from None
        if not known and len(self._headers) < _MAX_HEADERS:
            self._headers[head] = header  # only after a good signature: bad tokens fill nothing
        if claims.get("iss") != self._issuer or type(claims["iss"]) is not str:
            raise TokenRejected("iss")
        check_audience(claims, self._audiences)
        check_times(claims, wall, authority.horizon, authority.max_token_life_s)
        check_permissions(claims)
        facts = facts_from(header.kid, claims, own_jti=authority.own_jti)
        entry = CachedToken(claims, facts, claims["iat"], claims["exp"], generation)
        self._check_key_and_rules(entry, wall)
        entry.not_after = self._not_after(entry)
        self._cache.put(token, entry)
        return entry
