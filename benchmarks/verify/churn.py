"""A token seen before, while the state moves a thousand times a second.

A thread applies real records, signature and all, as a live agent's would. They are made beforehand:
a ledger that commits a thousand records a second would take the cores that are being measured.
"""

from __future__ import annotations

import threading
import time

from benchmarks.chain import ISSUER, new_chain, verifier_over
from benchmarks.tokens import mint
from tocsin_schemas.events import RevokedSession, SessionsRevoked

PER_S = 1000
SECONDS = 3.0
RECORDS = 3000


def measure() -> dict[str, float]:
    """Microseconds of one call, and how often the state really moved."""
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
        for number in range(RECORDS)
    ]
    verifier = verifier_over(replica)
    token = mint(chain.token_signer, ISSUER, 1)[0]
    verifier.verify(token)
    applied, done = 0, threading.Event()

    def apply() -> None:
        nonlocal applied
        due = time.perf_counter()
        for text in texts:
            replica.apply_record(text, 0, time.time())
            applied += 1
            due += 1 / PER_S
            if done.wait(max(0.0, due - time.perf_counter())):
                return

    thread = threading.Thread(target=apply)
    began = time.perf_counter()
    thread.start()
    calls = 0
    while thread.is_alive() and time.perf_counter() - began < SECONDS:
        for _ in range(1000):
            verifier.verify(token)
        calls += 1000
    elapsed = time.perf_counter() - began
    done.set()
    thread.join()
    return {"repeat_churn_us": elapsed / calls * 1e6, "churn_per_s": applied / elapsed}
