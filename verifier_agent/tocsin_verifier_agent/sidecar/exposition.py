"""An agent's figures as text, in Prometheus' format 0.0.4.

The client library is an extra and its writer works on registries; this writes one collector.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from tocsin_verifier_agent.agent import VerifierAgent

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
_IN_VALUES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_IN_HELP: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


def of(agent: VerifierAgent) -> bytes | None:
    """All figures; None where the extra `prometheus` is not installed."""
    try:
        from tocsin_verifier_agent.metrics import AgentCollector
    except ImportError:
        return None
    return "".join(_lines(AgentCollector(agent).collect())).encode()


def _lines(metrics: Iterable[Any]) -> Iterator[str]:
    for metric in metrics:
        name = metric.name + ("_total" if metric.type == "counter" else "")
        yield f"# HELP {name} {metric.documentation.translate(_IN_HELP)}\n"
        yield f"# TYPE {name} {metric.type}\n"
        for sample in metric.samples:
            labels = ",".join(
                f'{label}="{value.translate(_IN_VALUES)}"'
                for label, value in sorted(sample.labels.items())
            )
            yield f"{sample.name}{{{labels}}} {float(sample.value)!r}\n"
