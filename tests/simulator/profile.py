"""What kind of world a seed makes: its policy, its faults, its length."""

from dataclasses import dataclass
from random import Random

from tests.simulator.clock import MILLISECOND, SECOND
from tocsin_schemas.keyset import Policy


@dataclass(frozen=True, slots=True)
class Profile:
    """Times are nanoseconds, chances are of 1, ``utc_s`` is when the world begins."""

    policy: Policy
    utc_s: float
    agents: int
    duration: int
    drop: float
    duplicate: float
    slow: float
    stale_read: float
    ghost_ack: float
    dedupe_first: bool
    pause: float
    crash: float
    partition: float
    adversary: float
    restore: bool
    long: bool
    shuffle_at_end: bool
    heal_at_end: bool

    @property
    def lease(self) -> int:
        """L."""
        return self.policy.lease_ms * MILLISECOND

    @property
    def heartbeat(self) -> int:
        """H."""
        return self.policy.heartbeat_ms * MILLISECOND

    @property
    def bound(self) -> float:
        """B = L / (1 - rho), exactly."""
        return self.lease / (1 - self.policy.rho_ppm / 1_000_000)


def draw(rng: Random, epoch_s: int) -> Profile:
    """A profile. Half the worlds are fairly calm, so that faults meet a working system."""
    calm = rng.random() < 0.4
    policy = Policy(
        lease_ms=rng.choice((500, 600, 800)),
        heartbeat_ms=rng.choice((120, 200)),
        max_token_life_s=3600,
        rho_ppm=rng.choice((500, 5_000, 50_000)),
    )
    chance = rng.random
    return Profile(
        policy=policy,
        utc_s=epoch_s + rng.uniform(0, 7200),
        agents=rng.choice((1, 1, 1, 1, 2, 3)),
        duration=int(rng.uniform(1.2, 2.4) * SECOND),
        drop=chance() * (0.02 if calm else 0.2),
        duplicate=chance() * 0.1,
        slow=chance() * (0.02 if calm else 0.1),
        stale_read=chance() * (0.05 if calm else 0.3),
        ghost_ack=0.0 if calm else chance() * 0.1,
        dedupe_first=chance() < 0.5,
        pause=chance() * (0.04 if calm else 0.2),
        crash=chance() * (0.005 if calm else 0.02),
        partition=chance() * (0.1 if calm else 0.25),
        adversary=chance(),
        restore=chance() < 0.15,
        long=chance() < 0.25,
        shuffle_at_end=chance() < 0.1,
        heal_at_end=chance() < 0.12,
    )
