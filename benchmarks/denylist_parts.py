"""What `benchmarks.denylist` measures, each part in a fresh process: memory is the process's own.

A pause is the thread's own time in one call (`time.thread_time`): how long the call keeps the
interpreter to itself. Other programs on the machine do not count, nor does waiting for them.
"""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median
from typing import TypeVar

from benchmarks.chain import ISSUER, Chain, new_chain, verifier_over
from benchmarks.tokens import mint
from tocsin_issuer.core.jti_allocator import JtiAllocator
from tocsin_issuer.sequencing.committing import PAGE
from tocsin_issuer.sequencing.groups import next_group
from tocsin_issuer.store import event_text
from tocsin_issuer.store.outbox import RawEntry
from tocsin_revocation_bus.core import snapshot
from tocsin_revocation_bus.core.lanes import Lanes
from tocsin_revocation_bus.core.replica import Outcome, Replica
from tocsin_revocation_bus.core.rules import HOUR_S, CutoffRules, DigestRules
from tocsin_revocation_bus.core.snapshot import Rules
from tocsin_schemas import jti
from tocsin_schemas.events import RevokedToken, TokensRevoked
from tocsin_verifier_agent.core.token_verifier import TokenVerifier

LANES = 2000
REVOKED_IN = 100  # one token of so many is revoked
HOUR = 480_000
BURST = 100_000
BETWEEN_RECORDS_S = 0.001  # less than the sequencer needs: each record is on disk first
BEATS = 600  # heartbeats before a ledger that is idle gets a tick
PROBES = 1000
ROUNDS = 9
SEED = 20

Figures = dict[str, float]
T = TypeVar("T")


# --- measuring ----------------------------------------------------------------------------------


def resident_bytes() -> int:
    """The memory of this process that is its own, in RAM or swapped out.

    What the heap has free is given back first, or whatever fills it would seem to cost nothing.
    Pages of the libraries' files do not count: the kernel drops those that are not used.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # glibc's
    rows = (line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines())
    return sum(int(row[1]) * 1024 for row in rows if row[0] in ("Anonymous:", "Swap:"))


def milliseconds(work: Callable[[], object]) -> float:
    """The thread's own time in one call."""
    began = time.thread_time()
    work()
    return (time.thread_time() - began) * 1e3


def microseconds_each(probes: Sequence[T], hits: Callable[[T], object]) -> float:
    """The median over rounds of the time of one lookup."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for probe in probes:
            hits(probe)
        rounds.append((time.perf_counter() - began) / len(probes) * 1e6)
    return median(rounds)


def full_collection_ms() -> float:
    """The median of Python's own garbage collection of all that is not frozen."""
    return median(milliseconds(gc.collect) for _ in range(ROUNDS))


def leave_out_what_is_here() -> float:
    """Keep what is in the process already out of Python's garbage collection, from now on.

    Every part does so before it makes a rule: what the modules of a service cost in a full
    collection, returned here, is no matter of how many tokens are revoked.
    """
    took = full_collection_ms()
    gc.freeze()
    return took


def longest_steps(first: Callable[[], object], step: Callable[[], object], times: int) -> float:
    """The longest of one call and of so many that follow it."""
    return max([milliseconds(first), *(milliseconds(step) for _ in range(times))])


# --- lanes --------------------------------------------------------------------------------------


def lane_names() -> list[bytes]:
    """2,000 processes and hours."""
    return [jti.lane(HOUR, sha256(number.to_bytes(4)).digest()[:9]) for number in range(LANES)]


def places(names: list[bytes], revoked: int) -> Iterator[jti.Place]:
    """Tokens at random out of all that were issued; some come twice."""
    size = revoked * REVOKED_IN // len(names)
    count, draw = len(names), Random(SEED).random
    while True:
        yield jti.place(names[int(draw() * count)], int(draw() * size))


def fill_lanes(lanes: Lanes, revoked: int, taken: array[int]) -> None:
    """Revoke one by one; ``taken`` gets how long each 64 in a row took, in ns, as far as it goes:
    no pause of a single addition was longer.
    """
    number, until = 0, (HOUR + 1) * HOUR_S
    stream = places(lane_names(), revoked)
    while left := revoked - len(lanes):
        for _ in range(max(1, left // 64)):
            block = list(islice(stream, min(64, left)))
            began = time.thread_time_ns()
            for place in block:
                lanes.add(place, until)
            if number < len(taken):
                taken[number] = time.thread_time_ns() - began
            number += 1


def longest_twice_ms(revoked: int, taken: array[int]) -> float:
    """The longest pause at a place where another filling pauses too: what stops the machine, and
    not us, does not come twice at one place.
    """
    again = array("q", bytes(8 * len(taken)))
    fill_lanes(Lanes(), revoked, again)
    return max(map(min, taken, again)) / 1e6


def only_lanes(lanes: Lanes) -> Rules:
    """A state that holds nothing else."""
    digests, cutoffs = DigestRules(), CutoffRules()
    return Rules(HOUR * HOUR_S, lanes, digests, digests, cutoffs, cutoffs, cutoffs, frozenset(), {})


def lanes_part(revoked: int, file: str) -> Figures:
    """Memory, lookups and pauses of the issuer's own ids; writes a snapshot of them."""
    modules = leave_out_what_is_here()
    taken = array("q", bytes(8 * (revoked // 64)))  # here already when memory is counted
    before, lanes = resident_bytes(), Lanes()
    fill_lanes(lanes, revoked, taken)
    held = resident_bytes() - before
    collection = full_collection_ms()
    stream = places(lane_names(), revoked)
    probes = [next(stream) for _ in range(PROBES)]
    misses = [jti.place(jti.lane_of(place), jti.counter_of(place) ^ 1) for place in probes]
    cold = tuple(next(stream) for _ in range(200 * PROBES))
    figures = {
        "revoked": float(len(lanes)),
        "issued": float(revoked * REVOKED_IN),
        "bytes_per_revoked": held / len(lanes),
        "lookup_us": microseconds_each(probes + misses, lanes.hits),
        "lookup_cold_us": microseconds_each(cold, lanes.hits),
        "max_pause_ms_add": longest_twice_ms(revoked, taken),
        "pause_ms_add_once": max(taken) / 1e6,
        "python_gc_ms": collection,
        "python_gc_modules_ms": modules,
        "state_hash_ms": milliseconds(lambda: list(lanes.canonical())),
        "state_hash_again_ms": milliseconds(lambda: list(lanes.canonical())),
    }
    with Path(file).open("wb") as target:
        for part in snapshot.dump(only_lanes(lanes)):
            target.write(part)
    figures["snapshot_bytes_per_revoked"] = Path(file).stat().st_size / len(lanes)
    figures["max_pause_ms_drop"] = longest_steps(
        lambda: lanes.drop_before(HOUR + 2), lanes.tidy, LANES
    )
    return figures


def load_part(_revoked: int, file: str) -> Figures:
    """The snapshot read into a fresh process."""
    before = resident_bytes()
    began = time.perf_counter()
    rules = snapshot.load(Path(file).read_bytes())
    took = time.perf_counter() - began
    held = resident_bytes() - before
    return {"load_s": took, "bytes_per_revoked_loaded": held / len(rules.lanes)}


# --- foreign ids --------------------------------------------------------------------------------


def digests(count: int, salt: bytes = b"") -> Iterator[bytes]:
    """What stands for other issuers' ids."""
    for number in range(count):
        yield sha256(salt + number.to_bytes(8)).digest()[:16]


def foreign_part(count: int, _file: str) -> Figures:
    """16-byte digests; a split of a shard is what stands for compaction here."""
    leave_out_what_is_here()
    before, rules, longest = resident_bytes(), DigestRules(), 0
    for digest in digests(count):
        began = time.thread_time_ns()
        rules.add(digest, (HOUR + 1) * HOUR_S)
        longest = max(longest, time.thread_time_ns() - began)
    held = resident_bytes() - before
    collection = full_collection_ms()
    few = DigestRules()
    for digest in digests(1000):
        few.add(digest, (HOUR + 1) * HOUR_S)
    hits, misses = list(digests(PROBES)), list(digests(PROBES, b"no"))
    return {
        "foreign": float(len(rules)),
        "foreign_bytes_per_revoked": held / len(rules),
        "foreign_lookup_us": microseconds_each(hits + misses, rules.hits),
        "foreign_lookup_miss_us": microseconds_each(list(digests(100_000, b"no")), rules.hits),
        "foreign_lookup_of_few_us": microseconds_each(misses, few.hits),
        "max_pause_ms_compaction": longest / 1e6,
        "foreign_python_gc_ms": collection,
        "max_pause_ms_drop_foreign": longest_steps(
            lambda: rules.drop_before(HOUR + 2), rules.tidy, count // 1000
        ),
    }


def set_part(count: int, _file: str) -> Figures:
    """The peer: a Python set of the same 16 bytes."""
    leave_out_what_is_here()
    before = resident_bytes()
    kept = set(digests(count))
    held = resident_bytes() - before
    figures = {
        "set_bytes_per_revoked": held / count,
        "set_python_gc_ms": full_collection_ms(),
        "set_lookup_us": microseconds_each(list(digests(PROBES)), kept.__contains__),
    }
    figures["set_drop_ms"] = milliseconds(kept.clear)
    return figures


# --- a burst ------------------------------------------------------------------------------------


def burst_records() -> tuple[list[str], Chain]:
    """100,000 revocations, each a command of its own, as the sequencer would group them."""
    allocator, now = JtiAllocator(os.urandom), int(time.time())
    entries = []
    for number in range(BURST):
        event = TokensRevoked(
            id=event_text.new_event_id(),
            reason="incident",
            initiator="admin",
            tokens=(RevokedToken(allocator.allocate(now, os.getpid()), now + 900),),
        )
        text = event_text.encode([event])
        (events,) = event_text.split_all(text, 1)
        entries.append(RawEntry(str(number), events, len(text)))
    chain, texts, start = new_chain(), [], 0
    while start < BURST:
        group = next_group(entries[start : start + PAGE])
        texts.append(chain.record([event for entry in group for event in entry.events]))
        start += len(group)
    return texts, chain


@contextmanager
def verifying(verifier: TokenVerifier, token: str) -> Iterator[array[int]]:
    """Another thread verifies the same token all the time; yields how long each call took."""
    done, taken = threading.Event(), array("q", [0])  # nothing to collect in it

    def run() -> None:
        while not done.is_set():
            began = time.perf_counter_ns()
            verifier.verify(token)
            taken.append(time.perf_counter_ns() - began)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield taken
    finally:
        done.set()
        thread.join()


def apply_ms(replica: Replica, text: str) -> float:
    """The thread's own time in applying the next record."""
    began = time.thread_time()
    outcome = replica.apply_record(text, 0, time.time())
    taken = (time.thread_time() - began) * 1e3
    if outcome is not Outcome.APPLIED:
        raise SystemExit("a record of the burst was refused")
    return taken


def burst_part(_revoked: int, file: str) -> Figures:
    """Records applied on top of the 10 M, while another thread verifies; then heartbeats alone, and
    the tick that asks for the state's hash.
    """
    texts, chain = burst_records()
    replica, another = chain.follower(), chain.follower()
    leave_out_what_is_here()
    for each in (replica, another):
        each.state._lanes = snapshot.load(Path(file).read_bytes()).lanes
    pauses: list[float] = []

    began = time.perf_counter()
    pauses += [apply_ms(replica, text) for text in texts[: len(texts) // 2]]
    alone = time.perf_counter() - began
    verifier = verifier_over(replica)
    token = mint(chain.token_signer, ISSUER, 1)[0]
    verifier.verify(token)
    with verifying(verifier, token) as taken:
        for text in texts[len(texts) // 2 :]:
            pauses.append(apply_ms(replica, text))
            time.sleep(BETWEEN_RECORDS_S)
    collection = full_collection_ms()
    sealed = [milliseconds(replica.state.seal_some) for _ in range(BEATS)]
    tick = milliseconds(replica.state.hash)
    # What stops the machine, and not us, does not come twice at one record.
    once = max(pauses)
    pauses = list(map(min, pauses, (apply_ms(another, text) for text in texts)))
    calls = sorted(taken)  # not before: Python would look at each of them in its next collection
    return {
        "burst": float(BURST),
        "burst_records": float(len(texts)),
        "burst_longest_record": float(max(map(len, texts))),
        "burst_per_s": BURST / 2 / alone,
        "burst_pause_ms_p50": median(pauses),
        "max_pause_ms_burst": max(pauses),
        "pause_ms_burst_once": once,
        "burst_verify_p99_us": calls[len(calls) * 99 // 100] / 1e3,
        "burst_verify_max_ms": calls[-1] / 1e6,
        "burst_python_gc_ms": collection,
        "max_pause_ms_beat": max(sealed),
        "max_pause_ms_tick": tick,
    }


PARTS: dict[str, Callable[[int, str], Figures]] = {
    "lanes": lanes_part,
    "load": load_part,
    "foreign": foreign_part,
    "set": set_part,
    "burst": burst_part,
}
