"""One run: drafts in, verdicts compared, statistics and findings out."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from tests.verifier_agent.fuzz import readers
from tests.verifier_agent.fuzz.descriptions import described, known, resolved, seeds
from tests.verifier_agent.fuzz.differences import LOOSER, STRICTER
from tests.verifier_agent.fuzz.draft import Draft, build
from tests.verifier_agent.fuzz.lenient import Seen
from tests.verifier_agent.fuzz.mutate import mutate
from tocsin_schemas import jws, strict_json
from tocsin_schemas.errors import JwsRejected

SECONDS_PER_TOKEN = 0.05  # of processor time
FRESH_EVERY = 16


@dataclass
class Tally:
    """What a run has seen so far."""

    executions: int = 0
    accepted_by_all: int = 0
    accepted_by_somebody: int = 0
    ours_only: int = 0
    slowest_s: float = 0.0
    by_code: Counter[str] = field(default_factory=Counter[str])
    looser: Counter[str] = field(default_factory=Counter[str])
    stricter: Counter[str] = field(default_factory=Counter[str])
    findings: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def figures(self) -> dict[str, Any]:
        """One JSON object; ``findings`` is their number."""
        return {
            "executions": self.executions,
            "accepted_by_all": self.accepted_by_all,
            "accepted_by_somebody": self.accepted_by_somebody,
            "ours_only": self.ours_only,
            "findings": len(self.findings),
            "slowest_ms": round(self.slowest_s * 1000, 3),
            "by_code": dict(sorted(self.by_code.items())),
            "looser": dict(sorted(self.looser.items())),
            "stricter": dict(sorted(self.stricter.items())),
        }


class Campaign:
    """Holds one verifier for the whole run, so that what it remembers is tested too."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._verifier = readers.new_verifier()

    def run(self, drafts: Iterable[Draft]) -> Tally:
        """Judge every draft; a finding is shrunk before it is noted."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joserfc announces that EdDSA is an old name
            for draft in drafts:
                problem = self._judge(draft, self.tally)
                if problem is not None:
                    self.tally.findings.append({"problem": problem, **self._shrunk(draft, problem)})
        return self.tally

    def _judge(self, draft: Draft, tally: Tally) -> str | None:
        text = build(_with_kids(draft))
        tally.executions += 1
        try:
            own = readers.ours(self._verifier, text)
            again = readers.ours(self._verifier, text)
            fresh = again
            if own.claims is not None or tally.executions % FRESH_EVERY == 0:
                fresh = readers.ours(readers.new_verifier(), text)
        except Exception as error:  # the crash oracle: anything but TokenRejected
            return f"{type(error).__name__} escaped"
        seconds = min(own.seconds, fresh.seconds)  # both did all the work; one may have met the GC
        tally.slowest_s = max(tally.slowest_s, seconds)
        if seconds > SECONDS_PER_TOKEN:
            return "took too long"
        for other in (again, fresh):
            if (other.claims is None, other.why) != (own.claims is None, own.why):
                return "the verdict depends on what was seen before"
        if own.claims is None:
            tally.by_code[own.why] += 1
        return _compared(Seen(text, own.why), own, tally)

    def _shrunk(self, draft: Draft, problem: str) -> dict[str, Any]:
        """The fewest operations that still show the same problem."""
        ops, place = list(draft.ops), 0
        while place < len(ops):
            fewer = ops[:place] + ops[place + 1 :]
            self._verifier = readers.new_verifier()
            if self._judge(replace(draft, ops=tuple(fewer)), Tally()) == problem:
                ops = fewer
            else:
                place += 1
        return described(replace(draft, ops=tuple(ops)))


def _with_kids(draft: Draft) -> Draft:
    return replace(draft, ops=tuple(map(resolved, draft.ops)))


def _compared(seen: Seen, own: readers.Verdict, tally: Tally) -> str | None:
    text = seen.text
    theirs = {"pyjwt": readers.pyjwt(text), "joserfc": readers.joserfc_reads(text)}
    accepted = [one for one in theirs.values() if one.claims is not None]
    tally.accepted_by_somebody += bool(accepted) or own.claims is not None
    if own.claims is None:
        return _stricter(seen, tally) if len(accepted) == 2 else None
    if len(accepted) == 2:
        tally.accepted_by_all += 1
    else:
        tally.ours_only += not accepted
    for name, verdict in theirs.items():
        if verdict.claims is None:
            excuse = _looser(Seen(seen.text, verdict.why), name)
            if excuse is None:
                return f"accepted; {name} says {verdict.why}"
            tally.looser[excuse] += 1
        elif verdict.text != own.text:
            return f"{name} reads other claims"
    return _strict_core(seen.text, own)


def _looser(seen: Seen, library: str) -> str | None:
    for name, one in LOOSER.items():
        if one.library == library and one.applies(seen):
            return name
    return None


def _stricter(seen: Seen, tally: Tally) -> str | None:
    for name, one in STRICTER.items():
        if one.code == seen.why and one.applies(seen):
            tally.stricter[name] += 1
            return None
    return f"both accept what we refuse: {seen.why}"


def _strict_core(text: str, own: readers.Verdict) -> str | None:
    """``verify_compact`` under the verifier accepts what that accepts, with the same payload."""
    try:
        payload = jws.verify_compact(text, readers.our_keys(), typ="at+jwt").payload
    except JwsRejected as rejected:
        return f"accepted; verify_compact says {rejected.code}"
    if json.dumps(strict_json.loads_object(payload), sort_keys=True) != own.text:
        return "verify_compact reads another payload"
    return None


def fixed() -> Iterator[Draft]:
    """The seeds as they are, and all that the corpus knows."""
    yield from seeds().values()
    for file in ("witnesses", "regressions"):
        for one in known(file):
            yield one.draft


def random_drafts(seed: int, count: int) -> Iterator[Draft]:
    """``count`` mutated drafts, the same for the same seed (but for the run's own keys)."""
    rng = Random(seed)
    starts = [*seeds().values(), *(one.draft for one in known("regressions"))]
    for _ in range(count):
        yield mutate(rng, rng.choice(starts))
