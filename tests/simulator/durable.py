"""What survives every crash: journal, outbox and checkpoint, as the issuer keeps them in Valkey.

Each method is one atomic script. The journal is set-if-absent: whoever comes second gets the text
that stands, and must append that.
"""

from tocsin_schemas.events import Event


class Durable:
    """Shared by both candidates."""

    def __init__(self) -> None:
        self.journal: dict[int, str] = {}
        self.outbox: dict[str, Event] = {}
        self.acknowledged: dict[str, int] = {}
        self.checkpoint = 0

    def submit(self, command: Event) -> None:
        """Put a command into the outbox."""
        self.outbox[command.id] = command

    def journal_put(self, n: int, text: str) -> str:
        """Journal a record unless there is one for ``n``; return the one that stands."""
        return self.journal.setdefault(n, text)

    def pending(self) -> list[Event]:
        """The commands that nobody has marked."""
        return list(self.outbox.values())

    def refuse(self, ids: list[str]) -> None:
        """Their senders are told that these commands cannot be carried out."""
        for name in ids:
            self.outbox.pop(name, None)

    def mark(self, ids: list[str], n: int, now: int) -> list[str]:
        """Record ``n`` is in the ledger: acknowledge its commands, move the checkpoint.

        Returns the ids that were acknowledged by this call.
        """
        fresh = [name for name in ids if name in self.outbox]
        for name in fresh:
            del self.outbox[name]
            self.acknowledged[name] = now
        self.checkpoint = max(self.checkpoint, n)
        return fresh
