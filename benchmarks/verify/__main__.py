"""Run it: `python -m benchmarks.verify [--json]`; the last line is one JSON object.

RS256 is measured with a live agent, fed by a real NATS with some rules in force, beside a real
Valkey on loopback; ES256 and Ed25519 with the same verifier over a ledger in memory. Every figure
is a median, in microseconds of one call; ratios are taken slice by slice in one process, so they
hold on any machine. Keys without an algorithm are RS256's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence

import redis

from benchmarks.chain import ISSUER, new_chain, verifier_over
from benchmarks.stack import Stack, running_stack
from benchmarks.tokens import AUDIENCE, mint
from benchmarks.verify import churn, peers
from benchmarks.verify.peers import Verify
from benchmarks.verify.rules import revoke_some, some_events
from benchmarks.verify.timing import each, in_two_threads, repeated
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_verifier_agent import VerifierAgent

TOKENS = 6000  # each seen once
FEWER = 1500  # of the slow peers
KNOWN = 30_000  # calls with a token seen before
APPLIED_WITHIN_S = 5.0
BARS = {"first_over_raw": ("<=", 1.5), "repeat_speedup": (">=", 200.0)}


def with_a_live_agent(stack: Stack) -> dict[str, float]:
    """All figures for RS256."""
    agent = VerifierAgent.from_file(stack.service_file(AUDIENCE))
    if not agent.start():
        raise SystemExit("the agent is not live")
    try:
        revoke_some(stack.folder)
        deadline = time.monotonic() + APPLIED_WITHIN_S
        while not all(agent.replica.state.counts()[kind] for kind in ("sessions", "subjects")):
            if time.monotonic() > deadline:
                raise SystemExit("the revocations do not arrive")
            time.sleep(0.05)
        keys = agent.replica.trust.token_keys
        signer = next(one for one in stack.token_signers() if one.kid in keys)
        tokens = mint(signer, stack.issuer, TOKENS)
        figures = of_one_algorithm(signer, stack.issuer, tokens, agent.verify)
        store = redis.Redis.from_url(stack.redis_url)
        peer, token = peers.pyjwt(signer, stack.issuer), tokens[0]

        def peer_and_redis() -> None:
            peer(token)
            store.exists("tocsin:denied:" + "j" * 28)

        figures["pyjwt_redis_us"] = repeated(peer_and_redis, 300)
        figures["repeat_us"] = repeated(lambda: agent.verify(token), KNOWN)
        figures["repeat_speedup"] = figures["pyjwt_redis_us"] / figures["repeat_us"]
    finally:
        agent.stop()
    return figures


def in_memory(alg: str) -> dict[str, float]:
    """The other algorithms."""
    chain = new_chain(alg=alg)
    replica = chain.follower()
    replica.apply_record(chain.record(some_events(int(time.time()))), 0, time.time())
    tokens = mint(chain.token_signer, ISSUER, FEWER)
    verify = verifier_over(replica).verify
    figures = of_one_algorithm(chain.token_signer, ISSUER, tokens, verify)
    return {f"{alg.lower()}_{name}": value for name, value in figures.items()}


def of_one_algorithm(
    signer: PrivateKeySigner, issuer: str, tokens: list[str], ours: Callable[[str], object]
) -> dict[str, float]:
    """Each in one thread, and what matters in two."""
    bare = peers.bare(signer, tokens)
    half = len(tokens) // 2
    raw, first, ratio = each(tokens[:half], bare, ours)
    pyjwt, joserfc, _ = each(
        tokens[: FEWER // 2], peers.pyjwt(signer, issuer), peers.joserfc(signer, issuer)
    )
    known: Verify = ours
    return {
        "raw_us": raw,
        "pyjwt_us": pyjwt,
        "joserfc_us": joserfc,
        "first_sight_us": first,
        "first_over_raw": ratio,
        "repeat_us": repeated(lambda: known(tokens[0]), KNOWN // 3),
        "two_threads_raw_us": in_two_threads(tokens[half:], bare),
        "two_threads_first_sight_us": in_two_threads(tokens[half:], ours),
        "two_threads_repeat_us": in_two_threads([tokens[0]] * KNOWN, ours),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args(arguments).json
    with running_stack(AUDIENCE) as stack:
        figures = with_a_live_agent(stack)
    figures |= churn.measure()
    for alg in ("ES256", "Ed25519"):
        figures |= in_memory(alg)
    figures = {key: round(value, 3) for key, value in figures.items()}
    if not as_json:
        for key, value in figures.items():
            print(f"{key:<36} {value}")
        for key, (relation, bar) in BARS.items():
            met = figures[key] <= bar if relation == "<=" else figures[key] >= bar
            print(f"{key} {relation} {bar}: {'met' if met else 'MISSED'}")
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
