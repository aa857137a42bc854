"""An agent's figures for Prometheus: ``REGISTRY.register(AgentCollector(agent))``.

No label holds anything of a token; codes are stable and few.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from tocsin_revocation_bus.core.replica import AgentState
from tocsin_verifier_agent.agent import VerifierAgent
from tocsin_verifier_agent.meters import Meter

_COUNTERS: Final[dict[Meter, tuple[str, str]]] = {
    "rejected": ("tocsin_agent_rejected", "Tokens that the agent itself refused (401), by code."),
    "stale": (
        "tocsin_agent_stale",
        "Tokens of which nothing could be proven: answered 503, or asked of the issuer.",
    ),
    "accepted_unproven": (
        "tocsin_agent_accepted_unproven",
        "Tokens accepted without a proof because on_stale says so, by reason. ALARM.",
    ),
    "would_deny": ("tocsin_agent_would_deny", "Verdicts that observe mode did not enforce."),
    "introspected": ("tocsin_agent_introspected", "Questions to the issuer, by outcome."),
}


class AgentCollector(Collector):
    """Reads one agent when it is scraped."""

    def __init__(self, agent: VerifierAgent) -> None:
        self._agent = agent

    def collect(self) -> Iterator[Metric]:
        """All figures as they stand."""
        agent = self._agent
        status, replica = agent.status(), agent.replica
        live = GaugeMetricFamily("tocsin_agent_live", "1 with a lease, else 0.", labels=["reason"])
        live.add_metric([status.reason], float(status.state is AgentState.LIVE))
        yield live
        remaining = agent.lease_remaining()
        yield _gauge("tocsin_agent_lease_remaining_seconds", "Until the lease lapses.", remaining)
        head = replica.head
        yield _gauge("tocsin_agent_head", "n of the newest record applied.", head.n if head else 0)
        observes = float(agent.config.observe)
        yield _gauge("tocsin_agent_observes", "1 where no revocation is enforced. ALARM.", observes)
        keyset = replica.trust.keyset
        expires = 0 if keyset is None else keyset.expires_at
        yield _gauge("tocsin_agent_keyset_expires_timestamp_seconds", "UTC.", expires)
        rules = GaugeMetricFamily("tocsin_agent_rules", "Rules in force, by kind.", labels=["kind"])
        for kind, count in replica.state.counts().items():
            rules.add_metric([kind], count)
        yield rules
        for meter, counts in agent.meters.snapshot().items():
            name, text = _COUNTERS[meter]
            family = CounterMetricFamily(name, text, labels=["code"])
            for code, count in counts.items():
                family.add_metric([code], count)
            yield family


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
