"""Issuing access tokens (RFC 9068): an id, a place in the register, a signature."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, Self

from msgspec import UNSET

from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.core.jti_allocator import JtiAllocator
from tocsin_issuer.store.register import Parent, Register, Registration
from tocsin_issuer.store.shown_token import ShownToken, issued_digest
from tocsin_schemas import jti, jws
from tocsin_schemas.claims import ACCESS_TOKEN_TYP, AccessTokenClaims, OriginClaim
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.jws import Signer
from tocsin_verifier_agent.core.access_token import MAX_ACTORS
from tocsin_verifier_agent.core.verified import Verified

_ATTEMPTS: Final = 2


class SigningKeys(Protocol):
    """Knows which token key signs now."""

    def active(self) -> Signer:
        """The key to sign the next token with."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class MintedToken:
    """A token, and what its caller may tell of it. Times are seconds of UTC."""

    token: str
    jti: str
    iat: int
    exp: int

    @property
    def expires_in(self) -> int:
        """Its life in seconds."""
        return self.exp - self.iat


@dataclass(frozen=True, slots=True)
class Derivation:
    """What a token that is derived from another one says of it (RFC 8693).

    ``act`` names who acts, ``origin`` the first subject token; ``not_after`` is the subject token's
    ``exp``, which the derived one may not outlive. ``parent`` is the subject token, which may be
    the first one itself.
    """

    act: dict[str, Any]
    origin: OriginClaim
    not_after: int
    parent: ShownToken

    @classmethod
    def of(cls, subject: Verified, text: str, act: dict[str, Any]) -> Self:
        """From a subject token of ours, and its text."""
        token = subject.token
        origin: OriginClaim = {"jti": str(token.jti), "iat": token.iat}
        if token.orig is not UNSET:
            origin = {"jti": token.orig.jti, "iat": token.orig.iat}
        return cls(act, origin, token.exp, ShownToken.of(subject, text))

    def actors(self) -> tuple[str, ...]:
        """The clients in ``act``, the current one first.

        Raises:
            RequestRejected: ``too_many_actors``: more than verifiers read.
        """
        found: list[str] = []
        actor: Any = self.act
        while actor is not None:
            if len(found) == MAX_ACTORS:
                raise RequestRejected("too_many_actors", "the token has been exchanged too often")
            found.append(actor["sub"])
            actor = actor.get("act")
        return tuple(found)

    def lineage(self) -> Parent:
        """What the register asks about."""
        return Parent(self.parent, self.origin["jti"], self.origin["iat"])


class TokenMinter:
    """``wall_clock`` (seconds of UTC) only chooses the lane; ``iat`` comes from the register."""

    def __init__(
        self,
        signing_keys: SigningKeys,
        register: Register,
        config: IssuerConfig,
        *,
        allocator: JtiAllocator | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = signing_keys
        self._register = register
        self._config = config
        self._allocator = JtiAllocator(os.urandom) if allocator is None else allocator
        self._wall_clock = wall_clock

    async def mint(
        self,
        sub: str,
        client_id: str,
        audiences: Sequence[str],
        sid: str | None = None,
        scope: str = "",
        role: str | None = None,
        perms: Sequence[str] = (),
        life_s: int | None = None,
        derivation: Derivation | None = None,
        not_after: int | None = None,
        bound_to: str | None = None,
        generation: str | None = None,
        actor: ShownToken | None = None,
    ) -> MintedToken:
        """Issue a token. It expires no later than ``not_after`` (seconds of UTC), where its session
        ends. ``bound_to`` is the thumbprint of the one certificate that it may be used with.
        ``generation`` is that of the credentials that the client has shown for it, ``actor`` a
        token of its own that it has shown besides.

        Raises:
            RequestRejected: ``session_gone``, ``subject_disabled``, ``client_disabled``,
                ``invalid_client`` (401) where its credentials were replaced, ``token_life``,
                ``token_too_large``, or ``clock_skew`` (503) where this host and Redis disagree
                about the time. Of a derived token also ``parent_unknown``, ``parent_revoked``,
                ``subject_token_expired`` or ``too_many_actors``; of ``actor`` ``actor_unknown`` or
                ``actor_revoked``.
        """
        life = self._config.access_token_life_s if life_s is None else life_s
        if not 0 < life <= self._config.max_token_life_s or not audiences:
            raise RequestRejected("token_life", "no token of that life or audience can be issued")
        signer = self._keys.active()
        actors = () if derivation is None else derivation.actors()
        parent = None if derivation is None else derivation.lineage()
        claims: AccessTokenClaims = {
            "iss": self._config.iss,
            "sub": sub,
            "aud": audiences[0] if len(audiences) == 1 else list(audiences),
            "client_id": client_id,
            "iat": 0,
            "nbf": 0,
            "exp": 0,
            "jti": "",
        }
        if sid is not None:
            claims["sid"] = sid
        if scope:
            claims["scope"] = scope
        if role is not None:
            claims["role"] = role
        if perms:
            claims["perms"] = list(perms)
        if bound_to is not None:
            claims["cnf"] = {"x5t#S256": bound_to}
        if derivation is not None:
            claims["act"] = derivation.act
            claims["orig"] = derivation.origin
        iat = await self._register_token(
            Registration("", sub, client_id, sid, life, actors, parent, generation, actor), claims
        )
        exp = iat + life if derivation is None else min(iat + life, derivation.not_after)
        if exp <= iat:
            raise RequestRejected("subject_token_expired", "the subject token has expired")
        if not_after is not None and not_after <= iat:
            raise RequestRejected("session_gone", "no token can be issued")
        if not_after is not None:
            exp = min(exp, not_after)
        claims["iat"] = claims["nbf"] = iat
        claims["exp"] = exp
        token = jws.sign_compact(claims, signer, ACCESS_TOKEN_TYP)
        if len(token) > jws.MAX_JWS_LENGTH:
            raise RequestRejected("token_too_large", "the permissions do not fit into a token")
        return MintedToken(token, claims["jti"], iat, exp)

    async def check_parent(
        self,
        sub: str,
        client_id: str,
        sid: str | None,
        derivation: Derivation,
        generation: str | None = None,
        actor: ShownToken | None = None,
    ) -> int:
        """Whether a token would be derived now. Returns the time, in seconds of UTC, as Redis has
        it; nothing is issued.

        Raises:
            RequestRejected: as :meth:`mint` does of a derived token.
        """
        actors, parent = derivation.actors(), derivation.lineage()
        now = await self._register.mint(
            Registration("", sub, client_id, sid, 0, actors, parent, generation, actor)
        )
        if derivation.not_after <= now:
            raise RequestRejected("subject_token_expired", "the subject token has expired")
        return now

    async def _register_token(self, wanted: Registration, claims: AccessTokenClaims) -> int:
        """Give the claims their jti, and return its iat. Verifiers refuse an iat outside the hour
        of the jti's lane, so where the clocks disagree by minutes the lane follows Redis.
        """
        now = int(self._wall_clock())
        for _ in range(_ATTEMPTS):
            name = self._allocator.allocate(now, os.getpid())
            claims["jti"] = name
            now = await self._register.mint(replace(wanted, jti=name, digest=issued_digest(claims)))
            place = jti.parse(name)
            if place is not None and jti.issued_in_lane(place, now):
                return now
        raise RequestRejected("clock_skew", "the clocks of the issuer disagree", status=503)
