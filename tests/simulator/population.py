"""The tokens of the world: sessions, subjects, clients, and tokens derived from others."""

from dataclasses import dataclass
from random import Random

from tests.simulator import ring
from tests.simulator.crypto import SimSigner
from tocsin_schemas import jti, jws
from tocsin_schemas.claims import ACCESS_TOKEN_TYP

MAX_LIFE_S = 3600
SUBJECTS = ("sub-a", "sub-b", "sub-c")
CLIENTS = ("web", "mobile", "gateway")


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """What the issuer knows of a token. ``origin`` is the first subject token of a derived one."""

    text: str
    jti: str
    kid: str
    sub: str
    sid: str | None
    clients: tuple[str, ...]
    iat: int
    exp: int
    origin: "Token | None"

    @property
    def since(self) -> int:
        """Its own iat or its origin's, whichever is earlier."""
        return self.iat if self.origin is None else min(self.iat, self.origin.iat)

    @property
    def jtis(self) -> tuple[str, ...]:
        """Its own jti, and its origin's."""
        return (self.jti,) if self.origin is None else (self.jti, self.origin.jti)


class Population:
    """Mints tokens; the issuer's own clock is true UTC."""

    def __init__(self, rng: Random) -> None:
        self.tokens: list[Token] = []
        self._rng = rng
        self._lanes: dict[int, bytes] = {}
        self._counter = 0

    def mint(
        self, utc_s: int, keys: tuple[SimSigner, ...], dead_sids: frozenset[str]
    ) -> Token | None:
        """A token as the issuer would sign it at ``utc_s``, or None where it would refuse."""
        rng = self._rng
        origin = rng.choice(self.tokens) if self.tokens and rng.random() < 0.3 else None
        if origin is not None and (origin.origin is not None or origin.exp <= utc_s + 1):
            origin = None
        sid = f"sid-{rng.randrange(6)}" if rng.random() < 0.7 else None
        sub = rng.choice(SUBJECTS)
        clients: tuple[str, ...] = (rng.choice(CLIENTS),)
        life = rng.choice((60, 300, 600, MAX_LIFE_S))
        if origin is not None:
            sid, sub = origin.sid, origin.sub
            clients = (rng.choice(CLIENTS), *origin.clients)
            life = min(life, origin.exp - utc_s)
        if sid in dead_sids:
            return None
        token = self.sign(rng.choice(keys), utc_s, life, sub, sid, clients, origin)
        self.tokens.append(token)
        return token

    def sign(
        self,
        key: SimSigner,
        iat: int,
        life: int,
        sub: str,
        sid: str | None,
        clients: tuple[str, ...],
        origin: Token | None,
    ) -> Token:
        name = self._name(iat)
        claims: dict[str, object] = {
            "iss": ring.ISSUER,
            "sub": sub,
            "aud": ring.AUDIENCE,
            "client_id": clients[0],
            "iat": iat,
            "nbf": iat,
            "exp": iat + life,
            "jti": name,
        }
        if sid is not None:
            claims["sid"] = sid
        if origin is not None:
            claims["orig"] = {"jti": origin.jti, "iat": origin.iat}
            claims["act"] = {"sub": clients[1]}
        text = jws.sign_compact(claims, key, ACCESS_TOKEN_TYP)
        return Token(text, name, key.kid, sub, sid, clients, iat, iat + life, origin)

    def _name(self, iat: int) -> str:
        hour, rng = iat // 3600, self._rng
        if hour not in self._lanes:
            self._lanes[hour] = jti.lane(hour, rng.randbytes(jti.LANE_RANDOM_LENGTH))
        self._counter += 1
        tail = rng.randbytes(jti.TAIL_RANDOM_LENGTH)
        return jti.compose(self._lanes[hour], self._counter, tail)
