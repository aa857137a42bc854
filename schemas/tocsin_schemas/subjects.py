"""The names on NATS, in one place. A subject never holds a jti, a user or a client."""

LEDGER_STREAM = "TOCSIN_LEDGER"
LEDGER_PREFIX = "tocsin.ledger."
LEDGER_SUBJECTS = "tocsin.ledger.>"
HEARTBEAT = "tocsin.ledger.heartbeat"

EDGE_PREFIX = "edge.ledger."
EDGE_SUBJECTS = "edge.ledger.>"
EDGE_HEARTBEAT = "edge.ledger.heartbeat"

CLOCK_SYNC = "tocsin.clock.sync"
DIRECT_GET = f"$JS.API.DIRECT.GET.{LEDGER_STREAM}"

REVOCATION_COMMANDS = "tocsin.revocations.command"
