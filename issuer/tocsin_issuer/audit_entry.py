"""One line of the audit log: who asked for what, and what came of it.

It stands beside the ledger, which holds what verifiers must know and nothing about people. Here a
person's id may stand; a secret, a token or a password never does.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

OK: Final = "ok"
PENDING: Final = "pending"
"""Accepted, and durable; not yet in the ledger when the caller was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """``time_ms`` is in milliseconds of UTC. What is not known is ''.

    ``actor`` is the sub of a verified token, or of the login; ``client_id`` the client that it was
    issued to, or that authenticated itself. ``target`` is the id of what was acted upon, and
    ``event_id`` the ledger's event. ``outcome`` is ``ok``, ``pending`` or the code of the refusal;
    ``count`` is how many a call with many items has accepted.
    """

    time_ms: int
    action: str
    outcome: str
    actor: str = ""
    client_id: str = ""
    target: str = ""
    event_id: str = ""
    count: int = 0
    request_id: str = ""
    address: str = ""

    @property
    def refused(self) -> bool:
        """Whether nothing came of it."""
        return self.outcome not in (OK, PENDING)

    def members(self) -> dict[str, Any]:
        """As JSON members, without those that are not known."""
        return {name: value for name, value in asdict(self).items() if value not in ("", 0)}
