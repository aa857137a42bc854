"""Run it: `python -m benchmarks.verify [--json]`; the last line is one JSON object.

RS256 is measured with a live agent, fed by a real NATS with some rules in force, the other
algorithms with the same verifier over a ledger in memory; all of them beside a real Valkey on
loopback. Every figure is a median, in microseconds of one call; ratios are taken slice by slice,
the two works in turn, so that they hold on any machine. Every call is given a text of its own, as a
request is. Keys without an algorithm are RS256's.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis

from benchmarks.bars import Bar, report
from benchmarks.chain import ISSUER, new_chain, verifier_over
from benchmarks.stack import Stack, running_stack
from benchmarks.tokens import AUDIENCE, mint
from benchmarks.verify import peers
from benchmarks.verify.churn import Churn
from benchmarks.verify.rules import revoke_some, some_events
from benchmarks.verify.timing import Work, fresh, in_turn, in_two_threads
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_verifier_agent import VerifierAgent

TOKENS = 6000  # of RS256; half of them in one thread
BEFORE = 10_000  # others: as in a service that has run for a while, the cache is full
FEWER = 2000  # of the other algorithms
CHURNED = 500
MANY = 20  # times over: a token seen before takes a microsecond
CHURN_S = 6.0
APPLIED_WITHIN_S = 5.0
BARS = (
    Bar("first_over_raw", "<=", 1.5),  # aim: 1.2
    Bar("repeat_speedup", ">=", 200),  # aim: 400
)
# What is compared does its slices in turn; no service runs all of these libraries.
PAIRS = {
    ("raw", "first_sight"): {"first_over_raw": ("first_sight", "raw")},
    ("pyjwt", "joserfc"): {},
    ("pyjwt_redis", "repeat"): {"repeat_speedup": ("pyjwt_redis", "repeat")},
}

Ours = Callable[[str], object]


def with_a_live_agent(stack: Stack, store: redis.Redis) -> dict[str, float]:
    """All figures for RS256, but for those under churn."""
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
        for token in mint(signer, stack.issuer, BEFORE):
            agent.verify(token)
        tokens = mint(signer, stack.issuer, TOKENS)
        return of_one_algorithm(signer, stack.issuer, tokens, agent.verify, store)
    finally:
        agent.stop()


def in_memory(alg: str, store: redis.Redis) -> dict[str, float]:
    """All figures but those under churn."""
    chain = new_chain(alg=alg)
    replica = chain.follower()
    replica.apply_record(chain.record(some_events(int(time.time()))), 0, time.time())
    tokens = mint(chain.token_signer, ISSUER, FEWER)
    verify = verifier_over(replica).verify
    return of_one_algorithm(chain.token_signer, ISSUER, tokens, verify, store)


def of_one_algorithm(
    signer: PrivateKeySigner, issuer: str, tokens: list[str], ours: Ours, store: redis.Redis
) -> dict[str, float]:
    """Every work in one thread, and in two."""
    first, seen = Work(ours, fresh), Work(ours, fresh, MANY)
    works: dict[str, Work[Any]] = {
        "raw": peers.bare(signer),
        "first_sight": first,
        "pyjwt": peers.pyjwt(signer, issuer),
        "joserfc": peers.joserfc(signer, issuer),
        "pyjwt_redis": peers.pyjwt_and_redis(signer, issuer, store),
        "repeat": seen,
    }
    half = len(tokens) // 2
    figures: dict[str, float] = {}
    for pair, ratios in PAIRS.items():
        figures |= in_turn(tokens[:half], {name: works[name] for name in pair}, ratios)
    others = tokens[half:]
    for name, work in works.items():
        figures[f"two_threads_{name}_us"] = in_two_threads(others, work)
    return figures


def under_churn(alg: str) -> dict[str, float]:
    """A token seen before, while the state moves a thousand times a second."""
    chain = new_chain(alg=alg)
    replica = chain.follower()
    churn = Churn(chain, replica, CHURN_S)
    tokens = mint(chain.token_signer, ISSUER, CHURNED)
    work = Work(verifier_over(replica).verify, fresh, MANY)
    for token in tokens:
        work.call(token)
    with churn.going_on():
        figures = in_turn(tokens, {"repeat_churn": work}, {})
        figures["two_threads_repeat_churn_us"] = in_two_threads(tokens, work)
    return figures | {"churn_per_s": churn.per_s}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args(arguments).json
    with running_stack(AUDIENCE) as stack, redis.Redis.from_url(stack.redis_url) as store:
        figures = with_a_live_agent(stack, store) | under_churn("RS256")
        for alg in ("ES256", "Ed25519"):
            for name, value in (in_memory(alg, store) | under_churn(alg)).items():
                figures[f"{alg.lower()}_{name}"] = value
    figures = {key: round(value, 3) for key, value in figures.items()}
    return report(figures, BARS, only_json=as_json)


if __name__ == "__main__":
    sys.exit(main())
