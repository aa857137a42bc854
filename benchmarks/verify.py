"""How long it takes to verify a token: the bare signature, PyJWT, PyJWT and Redis, joserfc, ours.

Ours has all checks on and a live agent behind it, fed by a real NATS; Redis is a real Valkey on
loopback. Every figure is the median of several rounds in one process, so the ratios hold on any
machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, TypeVar

import jwt
import redis
from joserfc import jwk as jose_keys
from joserfc import jwt as jose_jwt

from benchmarks.chain import ISSUER, new_chain
from benchmarks.stack import Stack, running_stack
from tocsin_issuer.core.jti_allocator import JtiAllocator
from tocsin_issuer.keys.signer import PrivateKeySigner, generate
from tocsin_revocation_bus.clocks import lease_clock
from tocsin_schemas import base64url, jws
from tocsin_schemas.claims import ACCESS_TOKEN_TYP
from tocsin_schemas.events import RevokedSession, SessionsRevoked
from tocsin_schemas.jwk import PublicKey
from tocsin_verifier_agent import Verifier, VerifierAgent
from tocsin_verifier_agent.core.authority import FOREVER, LedgerAuthority
from tocsin_verifier_agent.core.token_cache import TokenCache
from tocsin_verifier_agent.core.token_verifier import TokenVerifier

T = TypeVar("T")
ROUNDS = 7
TOKENS = 4000
SLICES = 40
AUDIENCE = "orders"
PYJWT_NAMES = {"Ed25519": "EdDSA"}
CHURN_PER_S = 1000
CHURN_S = 3.0
CHURN_RECORDS = 3000


def claims_of(issuer: str, jti: str, now: int) -> dict[str, Any]:
    """The claims of a usual access token."""
    return {
        "iss": issuer,
        "sub": "u_" + "a" * 22,
        "aud": AUDIENCE,
        "client_id": "first-party",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "jti": jti,
        "sid": "s" * 22,
        "role": "user",
        "perms": ["orders:read", "orders:write"],
        "scope": "",
    }


def mint(signer: PrivateKeySigner, issuer: str, count: int) -> list[str]:
    """Distinct tokens of one issuer."""
    allocator, now = JtiAllocator(os.urandom), int(time.time())
    return [
        jws.sign_compact(
            claims_of(issuer, allocator.allocate(now, os.getpid()), now), signer, ACCESS_TOKEN_TYP
        )
        for _ in range(count)
    ]


def side_by_side(
    tokens: Sequence[str], bare: Callable[[str], object], ours: Callable[[str], object]
) -> tuple[float, float, float]:
    """Medians of both, and of their ratio, slice by slice: what slows the machine slows both."""
    size = len(tokens) // SLICES
    rows: list[tuple[float, float]] = []
    for index in range(SLICES):
        part = tokens[index * size : (index + 1) * size]
        times: list[float] = []
        for work in (bare, ours):
            began = time.perf_counter()
            for token in part:
                work(token)
            times.append((time.perf_counter() - began) / size * 1e6)
        rows.append((times[0], times[1]))
    return (
        median(row[0] for row in rows),
        median(row[1] for row in rows),
        median(row[1] / row[0] for row in rows),
    )


def microseconds(work: Callable[[], object], times: int) -> float:
    """The median over some rounds of the time of one call."""
    rounds: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(times):
            work()
        rounds.append((time.perf_counter() - began) / times * 1e6)
    return median(rounds)


def over(inputs: Sequence[T], work: Callable[[T], object]) -> float:
    """The median over slices of distinct inputs, each seen once."""
    size = len(inputs) // ROUNDS
    rounds: list[float] = []
    for index in range(ROUNDS):
        part = inputs[index * size : (index + 1) * size]
        began = time.perf_counter()
        for one in part:
            work(one)
        rounds.append((time.perf_counter() - began) / size * 1e6)
    return median(rounds)


def raw(key: PublicKey, tokens: Sequence[str]) -> Callable[[str], object]:
    """The bare signature check of the same distinct tokens, its input prepared."""
    prepared: dict[str, tuple[bytes, bytes]] = {}
    for token in tokens:
        signed, _, signature = token.rpartition(".")
        prepared[token] = (base64url.decode(signature), signed.encode())
    return lambda token: key.verify(*prepared[token])


def pyjwt(signer: PrivateKeySigner, issuer: str) -> Callable[[str], object]:
    """PyJWT, audience and issuer checked."""
    key = signer.private_key.public_key()
    alg = PYJWT_NAMES.get(signer.alg, signer.alg)
    return lambda token: jwt.decode(token, key, algorithms=[alg], audience=AUDIENCE, issuer=issuer)


def joserfc(signer: PrivateKeySigner, issuer: str) -> Callable[[str], object]:
    """Joserfc, with its claims registry."""
    key = jose_keys.import_key(dict(signer.public.jwk))
    registry = jose_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer}, aud={"essential": True, "value": AUDIENCE}
    )

    def verify(token: str) -> None:
        registry.validate(jose_jwt.decode(token, key, algorithms=[signer.alg]).claims)

    return verify


def two_threads(work: Callable[[], object], times: int) -> float:
    """Microseconds of one call while two threads make calls, both counted."""

    def run() -> None:
        for _ in range(times):
            work()

    threads = [threading.Thread(target=run) for _ in range(2)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - began) / (2 * times) * 1e6


def without_a_bus(alg: str) -> dict[str, float]:
    """The other algorithms, against a verifier with fixed keys."""
    signer, issuer = generate(alg), "https://issuer.example"
    # Minted by PyJWT, which knows Ed25519 by its older name (RFC 8037) alone.
    now, allocator = int(time.time()), JtiAllocator(os.urandom)
    tokens = [
        jwt.encode(
            claims_of(issuer, allocator.allocate(now, os.getpid()), now),
            signer.private_key,
            algorithm=PYJWT_NAMES.get(alg, alg),
            headers={"kid": signer.kid, "typ": ACCESS_TOKEN_TYP},
        )
        for _ in range(700)
    ]
    verifier = Verifier.from_jwks(
        {"keys": [{**signer.public.jwk, "kid": signer.kid}]}, issuer=issuer, audience=AUDIENCE
    )
    bare, first, ratio = side_by_side(tokens, raw(signer.public, tokens), verifier.verify)
    name = alg.lower()
    return {
        f"{name}_raw_us": bare,
        f"{name}_pyjwt_us": over(tokens[:350], pyjwt(signer, issuer)),
        f"{name}_first_sight_us": first,
        f"{name}_first_over_raw": ratio,
    }


def measure(stack: Stack) -> dict[str, float]:
    """All figures for RS256, with a live agent."""
    agent = VerifierAgent.from_file(stack.service_file(AUDIENCE))
    if not agent.start():
        raise SystemExit("the agent is not live")
    keys = agent.replica.trust.token_keys
    signer = next(one for one in stack.token_signers() if one.kid in keys)
    try:
        return _measure_with(agent, signer, stack.issuer, stack.redis_url)
    finally:
        agent.stop()


def _measure_with(
    agent: VerifierAgent, signer: PrivateKeySigner, issuer: str, redis_url: str
) -> dict[str, float]:
    tokens = mint(signer, issuer, TOKENS)
    token = tokens[0]
    peer, jose, store = (
        pyjwt(signer, issuer),
        joserfc(signer, issuer),
        redis.Redis.from_url(redis_url),
    )
    jti = str(jwt.decode(token, options={"verify_signature": False})["jti"])

    def peer_and_redis() -> None:
        peer(token)
        store.exists(f"tocsin:denied:{jti}")

    bare, first, ratio = side_by_side(tokens, raw(signer.public, tokens), agent.verify)
    figures = {
        "raw_us": bare,
        "pyjwt_us": microseconds(lambda: peer(token), 300),
        "pyjwt_redis_us": microseconds(peer_and_redis, 300),
        "joserfc_us": microseconds(lambda: jose(token), 300),
        "first_sight_us": first,
        "repeat_us": microseconds(lambda: agent.verify(token), 20_000),
        "repeat_two_threads_us": two_threads(lambda: agent.verify(token), 50_000),
    }
    figures["first_over_raw"] = ratio
    figures["repeat_speedup"] = figures["pyjwt_redis_us"] / figures["repeat_us"]
    return figures


def under_churn() -> dict[str, float]:
    """A token seen before, while the state moves a thousand times a second.

    A thread applies real records, signature and all, as a live agent's would. They are made
    beforehand: a ledger that commits a thousand records a second would take the cores that are
    being measured.
    """
    chain = new_chain()
    replica = chain.follower()
    until = int(time.time()) + 900
    texts = [
        chain.record(
            [
                SessionsRevoked(
                    id=f"e{number}",
                    reason="churn",
                    initiator="system",
                    sessions=(RevokedSession(f"churn-{number}", until),),
                )
            ]
        )
        for number in range(CHURN_RECORDS)
    ]
    verifier = TokenVerifier(
        ChurningAuthority(replica),
        audiences={ISSUER: frozenset({AUDIENCE})},
        lease_clock=lease_clock,
        wall_clock=time.time,
        cache=TokenCache(threading.Lock()),
    )
    token = mint(chain.token_signer, ISSUER, 1)[0]
    verifier.verify(token)
    applied, done = 0, threading.Event()

    def apply() -> None:
        nonlocal applied
        due = time.perf_counter()
        for text in texts:
            replica.apply_record(text, 0, time.time())
            applied += 1
            due += 1 / CHURN_PER_S
            if done.wait(max(0.0, due - time.perf_counter())):
                return

    thread = threading.Thread(target=apply)
    began = time.perf_counter()
    thread.start()
    calls = 0
    while thread.is_alive() and time.perf_counter() - began < CHURN_S:
        for _ in range(1000):
            verifier.verify(token)
        calls += 1000
    elapsed = time.perf_counter() - began
    done.set()
    thread.join()
    return {"repeat_churn_us": elapsed / calls * 1e6, "churn_per_s": applied / elapsed}


class ChurningAuthority(LedgerAuthority):
    """A replica without a bus has no heartbeats; its lease is taken for granted here."""

    def valid_until(self, max_staleness_ns: int | None, wall: float) -> int | None:
        """For ever, with the same work as a real lease."""
        super().valid_until(max_staleness_ns, wall)
        return FOREVER


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the last line is one JSON object with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args(arguments).json
    with running_stack(AUDIENCE) as stack:
        figures = measure(stack)
    figures |= under_churn()
    for alg in ("ES256", "Ed25519"):
        figures |= without_a_bus(alg)
    figures = {key: round(value, 3) for key, value in figures.items()}
    if not as_json:
        for key, value in figures.items():
            print(f"{key:<28} {value}")
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
