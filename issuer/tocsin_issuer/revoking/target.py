"""What a revocation hits."""

from dataclasses import dataclass
from typing import Literal

By = Literal["token", "session", "subject", "client", "key", "all"]


@dataclass(frozen=True, slots=True)
class Target:
    """``name`` is a jti, sid, sub, client_id or key thumbprint, and '' for everything. ``exp`` is a
    token's, in seconds of UTC. ``iss`` is the foreign issuer whose it is, None where it is ours.
    """

    by: By
    name: str = ""
    exp: int = 0
    iss: str | None = None

    def __str__(self) -> str:
        """For the audit log."""
        return f"{self.by} {self.name}".rstrip()
