"""Who owns the network but no key: replays, flips, forges, re-signs, and serves false history."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Literal, TypeAlias

from tests.simulator import ring
from tocsin_schemas import clock_reply, heartbeat, jws, record
from tocsin_schemas.claims import ACCESS_TOKEN_TYP
from tocsin_schemas.clock_reply import ClockReply
from tocsin_schemas.events import AllRevokedBefore, Tick
from tocsin_schemas.heartbeat import Heartbeat

if TYPE_CHECKING:
    from tests.simulator.agent_node import AgentNode
    from tests.simulator.world import World

Kind: TypeAlias = Literal["record", "heartbeat", "clock"]
_KINDS: tuple[Kind, ...] = ("record", "heartbeat", "clock")


class Impostor:
    """Signs with one key under the name of another."""

    alg = "Ed25519"

    def __init__(self, key: jws.Signer, kid: str) -> None:
        self.kid = kid
        self._key = key

    def sign(self, data: bytes) -> bytes:
        """A good signature by the wrong key."""
        return self._key.sign(data)


class Adversary:
    """``seen`` is every message that ever crossed the network, even those that were dropped."""

    def __init__(self, world: World, rng: Random) -> None:
        self.seen: list[tuple[Kind, str]] = []
        self.nonces: list[str] = []
        self._world = world
        self._rng = rng

    def act(self) -> None:
        """One attack on one agent."""
        world, rng = self._world, self._rng
        agent = rng.choice(world.agents)
        attack = rng.choice((self._replay, self._replay, self._flip, self._forge, self._token))
        attack(agent)

    def _replay(self, agent: AgentNode) -> None:
        kind, text = self._rng.choice(self.seen)
        if self._rng.random() < 0.1:
            kind = self._rng.choice(_KINDS)
        agent.receive(kind, text)

    def _flip(self, agent: AgentNode) -> None:
        kind, text = self._rng.choice(self.seen)
        place = self._rng.randrange(len(text))
        flipped = chr(ord(text[place]) ^ (1 << self._rng.randrange(7)))
        agent.receive(kind, text[:place] + flipped + text[place + 1 :])

    def _signer(self) -> jws.Signer:
        """Never the ledger's: a rogue key, a token key, another issuer's, under any name."""
        key = self._rng.choice((ring.ROGUE, ring.TOKEN_KEYS[0], ring.OTHER_LEDGER))
        if self._rng.random() < 0.5:
            return Impostor(key, self._rng.choice(ring.LEDGER_KEYS).kid)
        return key

    def _forge(self, agent: AgentNode) -> None:
        """What would help most, if the signature were good."""
        rng, world, replica = self._rng, self._world, agent.replica
        head = replica.head
        if head is None:
            return
        issuer = ring.OTHER_ISSUER if rng.random() < 0.3 else ring.ISSUER
        sequencer = rng.choice(world.sequencers)
        utc = world.profile.utc_s + world.now / 1e9
        match rng.choice(_KINDS):
            case "record":
                before = int(utc)
                text = record.build(
                    iss=issuer,
                    iat=max(head.iat, before),
                    txn="forged",
                    term=head.term,
                    n=head.n + rng.randrange(2),
                    prev=head.hash,
                    carried=[
                        AllRevokedBefore(
                            id="forged",
                            reason="forged",
                            initiator="admin",
                            before=before,
                            until=before,
                        )
                        if rng.random() < 0.5
                        else Tick(
                            id="forged",
                            reason="forged",
                            initiator="system",
                            state_hash=replica.state.hash(),
                        )
                    ],
                    signer=self._signer(),
                )
                agent.receive("record", text)
            case "heartbeat":
                beat = Heartbeat(
                    iss=issuer,
                    term=head.term,
                    head_n=head.n,
                    head_hash=head.hash,
                    settled_n=0,
                    clock_id=sequencer.clock_id,
                    issuer_time=sequencer.now,
                    utc=int(utc * 1000),
                )
                agent.receive("heartbeat", heartbeat.sign(beat, self._signer()))
            case "clock":
                if not self.nonces:
                    return
                reply = ClockReply(
                    iss=issuer,
                    nonce=self.nonces[-1],
                    clock_id=sequencer.clock_id,
                    issuer_time0=max(0, sequencer.now - 10**9),
                    utc=int(utc * 1000),
                    heartbeat=sequencer.beat,
                )
                agent.receive("clock", clock_reply.sign(reply, self._signer()))

    def _token(self, agent: AgentNode) -> None:
        """A token by a key that may sign none (the ledger's, a rogue's), or a changed one."""
        rng = self._rng
        victim = rng.choice(self._world.population.tokens)
        head, body, signature = victim.text.split(".")
        match rng.randrange(3):
            case 0:
                key = rng.choice((ring.ROGUE, ring.LEDGER_KEYS[0]))
                signer = Impostor(key, rng.choice((key.kid, victim.kid)))
                claims = {
                    "iss": ring.ISSUER,
                    "sub": victim.sub,
                    "aud": ring.AUDIENCE,
                    "iat": victim.iat,
                    "exp": victim.exp,
                    "jti": victim.jti,
                }
                text = jws.sign_compact(claims, signer, ACCESS_TOKEN_TYP)
            case 1:
                place = rng.randrange(len(body))
                other = "A" if body[place] != "A" else "B"
                text = f"{head}.{body[:place]}{other}{body[place + 1 :]}.{signature}"
            case _:
                other_body = rng.choice(self._world.population.tokens).text.split(".")[1]
                if other_body == body:
                    return
                text = f"{head}.{other_body}.{signature}"
        agent.verify_forged(text)

    def history(self, true: list[tuple[Kind, str]]) -> list[tuple[Kind, str]]:
        """What an agent that catches up is told: the truth, or a part of it, or out of order."""
        rng = self._rng
        if rng.random() > self._world.profile.adversary * 0.6:
            return true
        match rng.randrange(4):
            case 0:
                return true[: rng.randrange(len(true) + 1)]
            case 1:
                return [one for one in true if rng.random() < 0.7]
            case 2:
                return rng.sample(true, len(true))
            case _:
                stale = [one for one in self.seen if one[0] == "heartbeat"]
                return true[: len(true) // 2] + stale[-8:]
