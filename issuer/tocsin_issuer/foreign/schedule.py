"""When a foreign issuer's keys are fetched next. Times are seconds, and come in as arguments: of a
clock that never goes back, but for ``fetched_at``, which is UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often, in seconds. Whatever asks for a fetch, there is none within ``least_pause_s``."""

    every_s: float = 600.0
    least_pause_s: float = 30.0

    def after_success(self, now: float, jitter: float) -> float:
        """The next fetch; ``jitter`` is from 0 to 1, so that issuers do not ask all at once."""
        return now + max(self.least_pause_s, self.every_s * (1 + _JITTER * (2 * jitter - 1)))

    def after_failure(self, now: float, failures: int, jitter: float) -> float:
        """Twice as late after each failure in a row, and never later than after a success."""
        pause = self.least_pause_s * (1 << min(failures - 1, 16)) * (1 + _JITTER * jitter)
        return now + max(self.least_pause_s, min(self.every_s, pause))


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of one issuer's fetches so far. ``failures`` are those in a row; ``failure`` is
    the last one's code, None after a success. ``skipped`` are codes of keys that were left out.
    """

    iss: str
    jwks_uri: str
    next_at: float
    tried_at: float | None = None
    fetched_at: float | None = None
    failures: int = 0
    failure: str | None = None
    skipped: tuple[str, ...] = field(default=())

    def succeeded(
        self,
        now: float,
        schedule: Schedule,
        jitter: float,
        fetched_at: float,
        skipped: tuple[str, ...],
    ) -> Progress:
        """After a good answer."""
        return replace(
            self,
            next_at=schedule.after_success(now, jitter),
            tried_at=now,
            fetched_at=fetched_at,
            failures=0,
            failure=None,
            skipped=skipped,
        )

    def failed(self, now: float, schedule: Schedule, jitter: float, code: str) -> Progress:
        """After anything else."""
        failures = self.failures + 1
        return replace(
            self,
            next_at=schedule.after_failure(now, failures, jitter),
            tried_at=now,
            failures=failures,
            failure=code,
        )

    def wanted_soon(self, now: float, schedule: Schedule) -> Progress:
        """Somebody asks for a fetch: at once, unless the last one is too recent."""
        earliest = now if self.tried_at is None else self.tried_at + schedule.least_pause_s
        return replace(self, next_at=min(self.next_at, max(now, earliest)))
