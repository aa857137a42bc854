"""Run the fault matrix; the last line is one JSON object."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest


class Tally:
    """A row is one test; a violation is a row that failed, in whatever phase."""

    def __init__(self) -> None:
        self.rows: set[str] = set()
        self.ran: set[str] = set()
        self.skipped: set[str] = set()
        self.violations: set[str] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.rows = {item.nodeid for item in session.items}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.violations.add(report.nodeid)
        elif report.skipped:
            self.skipped.add(report.nodeid)
        if report.when == "call" and not report.skipped:
            self.ran.add(report.nodeid)


def main() -> int:
    """The exit status is 0 only where every row ran or was skipped with a reason, and held."""
    tally = Tally()
    status = int(pytest.main([str(Path(__file__).parent), "-v", "-rs"], plugins=[tally]))
    figures = {
        "rows": len(tally.rows),
        "ran": len(tally.ran),
        "skipped": len(tally.skipped),
        "violations": len(tally.violations),
    }
    print(json.dumps(figures))
    return status


if __name__ == "__main__":
    sys.exit(main())
