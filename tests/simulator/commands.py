"""Random commands: whatever an issuer, an administrator or an operator might send to the ledger."""

from random import Random

from tests.simulator import ring
from tests.simulator.population import CLIENTS, MAX_LIFE_S, SUBJECTS, Token
from tocsin_schemas.claims import rule_until
from tocsin_schemas.events import (
    AllRevokedBefore,
    ClientRevokedBefore,
    Event,
    Initiator,
    KeyRevoked,
    KeysetPublished,
    RevokedSession,
    RevokedToken,
    SessionsRevoked,
    SubjectRevokedBefore,
    TokensRevoked,
)
from tocsin_schemas.keyset import Policy

_KINDS = ("jti", "jti", "sid", "sid", "sub", "sub", "client", "all", "key", "ledger-key", "keyset")
_WEIGHTS = (4, 4, 3, 3, 3, 3, 2, 1, 2, 0.5, 4)
_WHO: Initiator = "admin"


class Commands:
    """Draws commands. A rule's ``until`` covers every token that the rule can hit."""

    def __init__(self, rng: Random, policy: Policy) -> None:
        self.dead_sids: set[str] = set()
        self.usable_keys = ring.TOKEN_KEYS[:2]
        self._rng = rng
        self._policy = policy
        self._version = 1
        self._published = ring.TOKEN_KEYS[:2]
        self._count = 0

    def draw(self, tokens: list[Token], utc_s: int, target: Token | None = None) -> Event:
        """A command of a random kind; with ``target``, one that hits this token."""
        rng = self._rng
        token = target or rng.choice(tokens)
        kind = rng.choices(_KINDS, _WEIGHTS)[0]
        if target is not None and kind in ("key", "ledger-key", "keyset"):
            kind = "jti"
        self._count += 1
        name = f"event-{self._count}"
        until = utc_s + self._policy.bound_ms // 1000 + 1 + MAX_LIFE_S + 600
        match kind:
            case "sid" if token.sid is not None:
                self.dead_sids.add(token.sid)
                sessions = (RevokedSession(token.sid, until),)
                return SessionsRevoked(id=name, reason="logout", initiator=_WHO, sessions=sessions)
            case "sub":
                sub = token.sub if target is not None else rng.choice(SUBJECTS)
                before = self._cutoff(token, utc_s)
                return SubjectRevokedBefore(
                    id=name, reason="fraud", initiator=_WHO, sub=sub, before=before, until=until
                )
            case "client":
                client = rng.choice(token.clients if target is not None else CLIENTS)
                before = self._cutoff(token, utc_s)
                return ClientRevokedBefore(
                    id=name,
                    reason="fraud",
                    initiator=_WHO,
                    client_id=client,
                    before=before,
                    until=until,
                )
            case "all":
                before = self._cutoff(token, utc_s)
                return AllRevokedBefore(
                    id=name, reason="breach", initiator=_WHO, before=before, until=until
                )
            case "key":
                return self._revoke_token_key(name)
            case "ledger-key":
                kid = ring.LEDGER_KEYS[0].kid
                return KeyRevoked(id=name, reason="compromise", initiator=_WHO, kid=kid)
            case "keyset":
                return self._keyset(name)
            case _:
                return self._revoke_token(name, token, tokens)

    def _cutoff(self, token: Token, utc_s: int) -> int:
        """Now, or long ago: a later cutoff may be the smaller one."""
        return self._rng.choice((utc_s + 1, token.since + 1, token.since - 100))

    def _revoke_token(self, name: str, token: Token, tokens: list[Token]) -> Event:
        family = [one.exp for one in tokens if token.jti in one.jtis]
        revoked = RevokedToken(token.jti, rule_until(max(token.exp, *family)))
        return TokensRevoked(id=name, reason="logout", initiator=_WHO, tokens=(revoked,))

    def _revoke_token_key(self, name: str) -> Event:
        """Never the last one: the issuer goes on with the standby."""
        if len(self.usable_keys) > 1:
            key, self.usable_keys = self.usable_keys[0], self.usable_keys[1:]
        else:
            key = ring.ROGUE
        return KeyRevoked(id=name, reason="compromise", initiator=_WHO, kid=key.kid)

    def _keyset(self, name: str) -> Event:
        """The next keyset; sometimes two operators make the same version, or an old one comes."""
        if self._rng.random() < 0.8:
            self._version += 1
            self._published = ring.TOKEN_KEYS[: self._rng.choice((2, 3))]
        document = ring.keyset(self._version, self._policy, self._published)
        return KeysetPublished(id=name, reason="rotate", initiator=_WHO, keyset=document)
