"""Run the fuzzer for longer: ``python -m tests.verifier_agent.fuzz --executions N --seed S``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from tests.verifier_agent.fuzz.campaign import Campaign, fixed, random_drafts


def main(arguments: Sequence[str] | None = None) -> int:
    """Print findings, then one JSON object; the exit status is 1 where there are any findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    campaign = Campaign()
    campaign.run(fixed())
    tally = campaign.run(random_drafts(chosen.seed, chosen.executions))
    for finding in tally.findings:
        print(json.dumps(finding))
    print(json.dumps({"seed": chosen.seed, **tally.figures()}))
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
