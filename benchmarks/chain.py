"""A ledger made in memory by the sequencer's own machine, for benchmarks of what consumes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.tokens import AUDIENCE
from tocsin_issuer.core.sequencer import Committed, Sequencer
from tocsin_issuer.keys import ceremony
from tocsin_issuer.keys.signer import PrivateKeySigner, generate
from tocsin_revocation_bus.clocks import lease_clock, quick_clock
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.core.trust import PinnedRoots
from tocsin_schemas import keyset as keysets
from tocsin_schemas.events import Event, KeysetPublished, RawEvent
from tocsin_schemas.keyset import MAX_KEYSET_LIFE_S, Keyset, Policy, RootSet
from tocsin_verifier_agent.core.authority import FOREVER, LedgerAuthority
from tocsin_verifier_agent.core.token_cache import TokenCache
from tocsin_verifier_agent.core.token_verifier import TokenVerifier

ISSUER = "https://issuer.example"
CLOCK_ID = "benchmark-clock-0"


@dataclass(frozen=True, slots=True)
class Chain:
    """A sequencer with its keys; ``genesis`` is the text of the first record."""

    sequencer: Sequencer
    replica: Replica
    pinned: PinnedRoots
    token_signer: PrivateKeySigner
    genesis: str

    def record(self, carried: Sequence[Event | RawEvent]) -> str:
        """Append one record; return its text."""
        return _append(self.sequencer, carried)

    def follower(self) -> Replica:
        """A fresh replica that has read the first record."""
        replica = Replica(ISSUER, self.pinned)
        replica.apply_record(self.genesis, 0, time.time())
        return replica


class Unlapsed(LedgerAuthority):
    """A replica without a bus has no heartbeats; its lease is taken for granted here."""

    def __init__(self, replica: Replica) -> None:
        super().__init__(replica, None, self._for_ever)
        self._lease = replica.vouched_until

    def _for_ever(self, max_staleness_ns: int | None, wall: float) -> int:
        """With the same work as a real lease."""
        self._lease(max_staleness_ns, wall)
        return FOREVER


def verifier_over(replica: Replica) -> TokenVerifier:
    """A verifier with all checks on."""
    return TokenVerifier(
        Unlapsed(replica),
        audiences={ISSUER: frozenset({AUDIENCE})},
        lease_clock=lease_clock,
        wall_clock=time.time,
        quick_clock=quick_clock,
        cache=TokenCache(threading.Lock()),
    )


def new_chain(policy: Policy | None = None, alg: str = "RS256") -> Chain:
    """Make keys (tokens are signed with ``alg``), a keyset, and the first record."""
    root, ledger, token = generate("RS256"), generate("RS256"), generate(alg)
    now, rules = int(time.time()), policy or Policy()
    keyset = Keyset(
        iss=ISSUER,
        version=1,
        issued_at=now,
        expires_at=now + MAX_KEYSET_LIFE_S,
        roots=RootSet(version=1, threshold=1, keys=(dict(root.public.jwk),)),
        policy=rules,
        keys=tuple(
            ceremony.entry(key, use, now, now + MAX_KEYSET_LIFE_S, rules.max_token_life_s)
            for key, use in ((ledger, "ledger"), (token, "token"))
        ),
    )
    pinned = PinnedRoots(frozenset({root.kid}))
    replica = Replica(ISSUER, pinned)
    sequencer = Sequencer(ISSUER, ledger, replica, CLOCK_ID)
    sequencer.take_over(0, 0)
    genesis = KeysetPublished(
        id="genesis", reason="genesis", initiator="admin", keyset=keysets.sign(keyset, [root])
    )
    return Chain(sequencer, replica, pinned, token, _append(sequencer, [genesis]))


def _append(sequencer: Sequencer, carried: Sequence[Event | RawEvent]) -> str:
    wall = time.time()
    append = sequencer.append_record(sequencer.build(carried, "benchmark", wall))
    decision = sequencer.on_ack(append.expected_seq + 1, duplicate=False)
    if not isinstance(decision, Committed):
        raise TypeError("the sequencer did not commit its own record")
    sequencer.apply_committed(append, 0, wall)
    return append.text
