"""Issuing access tokens (RFC 9068): an id, a place in the register, a signature."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.core.jti_allocator import JtiAllocator
from tocsin_issuer.store.register import Register, Registration
from tocsin_schemas import jti, jws
from tocsin_schemas.claims import ACCESS_TOKEN_TYP, AccessTokenClaims, OriginClaim
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.jws import Signer

_ATTEMPTS: Final = 2
_MAX_ACTORS: Final = 8


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
    ``exp``, which the derived one may not outlive.
    """

    act: dict[str, Any]
    origin: OriginClaim
    not_after: int

    def actors(self) -> tuple[str, ...]:
        """The clients in ``act``, the current one first."""
        found: list[str] = []
        actor: Any = self.act
        while actor is not None and len(found) < _MAX_ACTORS:
            found.append(actor["sub"])
            actor = actor.get("act")
        return tuple(found)


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
    ) -> MintedToken:
        """Issue a token.

        Raises:
            RequestRejected: ``session_gone``, ``subject_disabled``, ``client_disabled``,
                ``token_life``, ``subject_token_expired``, ``token_too_large``, or ``clock_skew``
                (503) where this host and Redis disagree about the time.
        """
        life = self._config.access_token_life_s if life_s is None else life_s
        if not 0 < life <= self._config.max_token_life_s or not audiences:
            raise RequestRejected("token_life", "no token of that life or audience can be issued")
        signer = self._keys.active()
        actors = () if derivation is None else derivation.actors()
        name, iat = await self._register_token(sub, client_id, sid, life, actors)
        exp = iat + life if derivation is None else min(iat + life, derivation.not_after)
        if exp <= iat:
            raise RequestRejected("subject_token_expired", "the subject token has expired")
        claims: AccessTokenClaims = {
            "iss": self._config.iss,
            "sub": sub,
            "aud": audiences[0] if len(audiences) == 1 else list(audiences),
            "client_id": client_id,
            "iat": iat,
            "nbf": iat,
            "exp": exp,
            "jti": name,
        }
        if sid is not None:
            claims["sid"] = sid
        if scope:
            claims["scope"] = scope
        if role is not None:
            claims["role"] = role
        if perms:
            claims["perms"] = list(perms)
        if derivation is not None:
            claims["act"] = derivation.act
            claims["orig"] = derivation.origin
        token = jws.sign_compact(claims, signer, ACCESS_TOKEN_TYP)
        if len(token) > jws.MAX_JWS_LENGTH:
            raise RequestRejected("token_too_large", "the permissions do not fit into a token")
        return MintedToken(token, name, iat, exp)

    async def _register_token(
        self, sub: str, client_id: str, sid: str | None, life_s: int, actors: tuple[str, ...]
    ) -> tuple[str, int]:
        """A jti and its iat. Verifiers refuse an iat outside the hour of the jti's lane, so where
        the clocks disagree by minutes the lane follows Redis.
        """
        now = int(self._wall_clock())
        for _ in range(_ATTEMPTS):
            name = self._allocator.allocate(now, os.getpid())
            now = await self._register.mint(Registration(name, sub, client_id, sid, life_s, actors))
            place = jti.parse(name)
            if place is not None and jti.issued_in_lane(place.lane, now):
                return name, now
        raise RequestRejected("clock_skew", "the clocks of the issuer disagree", status=503)
