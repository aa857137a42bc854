"""An issuer in memory: it mints access tokens and revokes them, and its agents know at once."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from tocsin_revocation_bus.core.replica import AgentState, Replica, Status
from tocsin_revocation_bus.jetstream.connection import BusAddress
from tocsin_schemas import base64url, jti, jws, strict_json
from tocsin_schemas.claims import ACCESS_TOKEN_TYP, rule_until
from tocsin_schemas.events import (
    AllRevokedBefore,
    ClientRevokedBefore,
    RevokedSession,
    RevokedToken,
    SessionsRevoked,
    SubjectRevokedBefore,
    TokensRevoked,
)
from tocsin_schemas.keyset import Policy
from tocsin_verifier_agent.agent import AgentConfig, VerifierAgent
from tocsin_verifier_agent.core.leniency import OnStale
from tocsin_verifier_agent.feed import Clocks
from tocsin_verifier_agent.testing.clock import ManualClock
from tocsin_verifier_agent.testing.ledger import LocalLedger, new_id

if TYPE_CHECKING:
    from tocsin_verifier_agent.introspection import IntrospectionClient

ISSUER: Final = "https://issuer.test"  # RFC 6761 section 6.2: nobody can ever own this name
AUDIENCE: Final = "service.test"
_DAY_S: Final = 24 * 3600
_POLICY: Final = Policy(max_token_life_s=_DAY_S)


class LocalIssuer:
    """Mints and revokes with real keys and real signatures, on a clock that stands still.

    ``agent`` is a real :class:`VerifierAgent` for ``audience``, live from the start: give it to the
    service under test. The keys are made for this object alone and are pinned nowhere else, so that
    no other agent accepts what is minted here.
    """

    def __init__(self, audience: str = AUDIENCE, *, policy: Policy = _POLICY) -> None:
        self.audience = audience
        self.clock = ManualClock()
        self._ledger = LocalLedger(ISSUER, policy, self.clock)
        self._lanes: dict[int, bytes] = {}
        self._counter = count()
        self.agent = self.new_agent()

    # --- agents ---------------------------------------------------------------------------------

    def new_agent(
        self,
        audience: str | None = None,
        *,
        on_stale: OnStale = "reject",
        observe: bool = False,
        max_lease_ms: int | None = None,
        introspection: IntrospectionClient | None = None,
    ) -> VerifierAgent:
        """One more agent of this issuer, as the `.tocsin` file of a service would make it.

        ``max_lease_ms`` is in milliseconds. There is no endpoint here that could be asked: with
        ``introspect`` a stale agent refuses, unless ``introspection`` names one of the test's own.
        """
        config = AgentConfig(
            issuer=ISSUER,
            audiences=frozenset([self.audience if audience is None else audience]),
            pinned=self._ledger.pinned,
            address=BusAddress(()),
            max_lease_ms=max_lease_ms,
            on_stale=on_stale,
            observe=observe,
            introspection=introspection,
            name="agent under test",
        )
        clocks = Clocks(self.clock.lease, self.clock.wall)
        agent = VerifierAgent(
            config, feed=lambda replica: _Delivered(replica, clocks), clocks=clocks
        )
        self._ledger.follow(agent.replica)
        return agent

    # --- minting --------------------------------------------------------------------------------

    def mint(
        self,
        sub: str = "alice",
        perms: Iterable[str] = (),
        scope: str = "",
        *,
        aud: str | list[str] | None = None,
        expires_in: int = 600,
        sid: str | None = None,
        client_id: str = "client.test",
        **claims: Any,
    ) -> str:
        """A signed access token (RFC 9068), issued now.

        Args:
            sub: whom it is about.
            perms: the claim ``perms``.
            scope: words, separated by spaces.
            aud: whom it is for; by default this issuer's ``audience``.
            expires_in: seconds.
            sid: the session that it belongs to, if any.
            client_id: whom it was issued to.
            **claims: further claims, or others in place of those above; None leaves one out.
        """
        iat = int(self.clock.wall())
        members: dict[str, Any] = {
            "iss": ISSUER,
            "sub": sub,
            "aud": self.audience if aud is None else aud,
            "client_id": client_id,
            "iat": iat,
            "nbf": iat,
            "exp": iat + expires_in,
            "jti": self._new_jti(claims.get("iat", iat)),
            "sid": sid,
            "perms": list(perms) or None,
            "scope": scope or None,
            **claims,
        }
        present = {name: value for name, value in members.items() if value is not None}
        return jws.sign_compact(present, self._ledger.signing, ACCESS_TOKEN_TYP)

    def _new_jti(self, iat: int) -> str:
        hour = iat // jti.HOUR_S
        if hour not in self._lanes:
            self._lanes[hour] = jti.lane(hour, secrets.token_bytes(jti.LANE_RANDOM_LENGTH))
        tail = secrets.token_bytes(jti.TAIL_RANDOM_LENGTH)
        return jti.compose(self._lanes[hour], next(self._counter), tail)

    # --- revoking -------------------------------------------------------------------------------

    def revoke_token(self, token: str) -> None:
        """Revoke one token by its jti, and what is derived from it."""
        claims = strict_json.loads_object(base64url.decode(jws.split(token)[1]))
        revoked = RevokedToken(claims["jti"], rule_until(claims["exp"]))
        self._ledger.append(TokensRevoked(**_who(), tokens=(revoked,)))

    def revoke_session(self, sid: str) -> None:
        """Log a session out."""
        revoked = RevokedSession(sid, self._until())
        self._ledger.append(SessionsRevoked(**_who(), sessions=(revoked,)))

    def revoke_subject(self, sub: str) -> None:
        """Revoke every token of ``sub`` minted so far, and none after."""
        before = self._cutoff()
        self._ledger.append(
            SubjectRevokedBefore(**_who(), sub=sub, before=before, until=self._until())
        )

    def revoke_client(self, client_id: str) -> None:
        """Revoke every token minted so far for a client, or with it in ``act``."""
        before = self._cutoff()
        self._ledger.append(
            ClientRevokedBefore(**_who(), client_id=client_id, before=before, until=self._until())
        )

    def revoke_everything(self) -> None:
        """Revoke every token minted so far: log out everywhere."""
        before = self._cutoff()
        self._ledger.append(AllRevokedBefore(**_who(), before=before, until=self._until()))

    def rotate_key(self) -> None:
        """Sign with the standby from now on; older tokens stay good."""
        self._ledger.rotate()

    def revoke_key(self) -> None:
        """Revoke the key that signs, as when it is stolen, and sign with the standby."""
        self._ledger.revoke_key(self._ledger.signing.kid)

    def _cutoff(self) -> int:
        """The last ``iat`` + 1. The clock moves there, so that the next token is not hit."""
        return self.clock.to_the_next_second()

    def _until(self) -> int:
        policy = self._ledger.policy
        life = policy.max_token_life_s + policy.bound_ms // 1000 + 600
        return rule_until(int(self.clock.wall()) + life)

    # --- time and outages -----------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time pass for issuer and agents; they stay live unless they are cut off.

        Raises:
            ValueError: ``seconds`` is negative.
        """
        self.clock.advance(seconds)
        self._ledger.deliver()

    def cut_off(self) -> None:
        """From now on nothing reaches the agents. Their lease carries them for a while."""
        self._ledger.connected = False

    def go_stale(self) -> None:
        """Cut the agents off and let time pass until their lease has lapsed: they answer 503."""
        self.cut_off()
        self.advance(self._ledger.policy.lease_ms / 1000 + 1)

    def come_back(self) -> None:
        """Reach the agents again; they learn what they have missed."""
        self._ledger.connected = True
        self._ledger.deliver()


@dataclass(frozen=True, slots=True)
class _Delivered:
    """A feed with nothing to do: the issuer brings all that there is."""

    replica: Replica
    clocks: Clocks

    async def start(self) -> None:
        """Nothing."""

    async def stop(self) -> None:
        """Nothing."""

    async def wait_live(self, timeout: float) -> bool:
        """Whether it is live."""
        return self.status().state is AgentState.LIVE

    def status(self) -> Status:
        """The replica's."""
        return self.replica.status(self.clocks.lease(), self.clocks.wall())


def _who() -> dict[str, Any]:
    return {"id": new_id(), "reason": "test", "initiator": "admin"}
