"""An issuer's figures for Prometheus, read from its parts when it is scraped.

Labels hold names that stand in our code or in our routes, and nothing of a token, a person, a
client or an address.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import Metric, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from tocsin_issuer.core.key_life_cycle import Phase
from tocsin_issuer.http.context import KeyAdministration
from tocsin_issuer.http.request_counts import RequestCounts
from tocsin_issuer.sequencing.commit_meter import BOUNDS_S, CommitMeter
from tocsin_issuer.sequencing.loop import SequencerLoop
from tocsin_issuer.store.audit_log import AuditLog
from tocsin_issuer.store.outbox import Outbox, Waiting
from tocsin_issuer.store.sessions import SessionStore
from tocsin_revocation_bus.core.replica import AgentState
from tocsin_revocation_bus.jetstream.follower import Follower

STORE_TIMEOUT_S: Final = 2.0
"""Of a scrape, whose own time is 10 seconds by default."""

_MAY_SIGN: Final = frozenset((Phase.ACTIVE.value, Phase.STANDBY.value, Phase.PENDING.value))


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerMetrics:
    """The parts that know something. Counters begin at 0 with the process, and are its own; what is
    read from Redis and the ledger is the same in all replicas.
    """

    follower: Follower
    sequencing: SequencerLoop
    outbox: Outbox
    keys: KeyAdministration
    sessions: SessionStore
    audit_log: AuditLog
    requests: RequestCounts

    async def text(self) -> bytes:
        """All figures as they stand, in the text format. A Redis that does not answer leaves out
        what it alone knows.
        """
        return generate_latest(_Reading(self, await self._waiting()))

    async def _waiting(self) -> Waiting | None:
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                return await self.outbox.waiting()
        except (RedisError, TimeoutError):
            return None


class _Reading(Collector):
    """What one scrape sees."""

    def __init__(self, of: IssuerMetrics, waiting: Waiting | None) -> None:
        self._of = of
        self._waiting = waiting

    def collect(self) -> Iterator[Metric]:
        yield from self._servers()
        yield from self._sequencer()
        yield from _commits(self._of.sequencing.committed)
        yield from self._keys()
        yield from self._calls()

    def _servers(self) -> Iterator[Metric]:
        status = self._of.follower.status()
        live = GaugeMetricFamily(
            "tocsin_issuer_live", "1 while its own agent has a lease, else 0.", labels=["reason"]
        )
        live.add_metric([status.reason], float(status.state is AgentState.LIVE))
        yield live
        waiting = self._waiting
        answers = float(waiting is not None)
        yield _gauge("store_answers", "1 where Redis has answered this scrape.", answers)
        if waiting is not None:
            yield _gauge("outbox_entries", "Accepted, not yet in the ledger.", waiting.entries)
            yield _gauge("outbox_oldest_seconds", "Age of the oldest of them.", waiting.oldest_s)
            yield _gauge(
                "outbox_rejected_entries",
                "Accepted, and put aside since no verifier would take them. ALARM.",
                waiting.rejected,
            )

    def _sequencer(self) -> Iterator[Metric]:
        sequencing, head = self._of.sequencing, self._of.follower.replica.head
        active = float(sequencing.active)
        yield _gauge("sequencer_active", "1 while this candidate appends, else 0.", active)
        yield CounterMetricFamily(
            "tocsin_issuer_sequencer_step_downs",
            "How often this candidate has stopped appending.",
            value=sequencing.step_downs,
        )
        age_s = sequencing.heartbeat_age_s()
        if age_s is not None:
            yield _gauge("heartbeat_age_seconds", "Since the active one's last heartbeat.", age_s)
        yield _gauge("head_term", "Term of the newest record known.", head.term if head else 0)
        yield _gauge("head", "n of the newest record known.", head.n if head else 0)

    def _keys(self) -> Iterator[Metric]:
        told = self._of.keys.describe()
        yield _gauge("keyset_expires_timestamp_seconds", "UTC.", told["keyset"]["expires_at"])
        ends = [
            key["sign_until"] for key in told["keys"] if key["held"] and key["phase"] in _MAY_SIGN
        ]
        yield _gauge(
            "signing_ends_timestamp_seconds",
            "UTC: when the last token key that is held here may sign no longer. 0 without one.",
            max(ends, default=0),
        )
        notices = GaugeMetricFamily(
            "tocsin_issuer_key_notices", "What `tocsin doctor` says.", labels=["code"]
        )
        for code, number in Counter(notice["code"] for notice in told["notices"]).items():
            notices.add_metric([code], number)
        yield notices

    def _calls(self) -> Iterator[Metric]:
        yield _counters(
            "actions",
            "What was asked for and what came of it, in the audit log's words.",
            ("action", "outcome"),
            self._of.audit_log.outcomes.items(),
        )
        yield _counters(
            "refresh_misuse",
            "Refresh tokens that came again, or from another device: their sessions have ended.",
            ("how",),
            [([how], number) for how, number in self._of.sessions.misused.items()],
        )
        yield _counters(
            "http_requests",
            "Requests answered, by route and class of status.",
            ("listener", "route", "status"),
            self._of.requests.answered.items(),
        )


def _commits(meter: CommitMeter) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "tocsin_issuer_records_committed", "Records appended here.", value=meter.records
    )
    kinds = [([kind], number) for kind, number in meter.events.items()]
    yield _counters("events_committed", "Events in them.", ("kind",), kinds)
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, number in zip((*BOUNDS_S, float("inf")), meter.waits, strict=True):
        total += number
        buckets.append(("+Inf" if bound == float("inf") else str(bound), total))
    yield HistogramMetricFamily(
        "tocsin_issuer_commit_seconds",
        "From acceptance in the outbox to the PubAck, by the clocks of Redis and of this host.",
        buckets=buckets,
        sum_value=meter.waited_s,
    )


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tocsin_issuer_{name}", text, value=value)


def _counters(
    name: str, text: str, labels: Sequence[str], counts: Iterable[tuple[Sequence[str], int]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"tocsin_issuer_{name}", text, labels=labels)
    for values, number in counts:
        family.add_metric(values, number)
    return family
