"""Log lines for machines: one JSON object each, with the request that it belongs to.

No line holds a token, a password or a secret. So the text of an exception, which may repeat what
was sent, is left out too: its type and the places in the code say where to look.
"""

import logging
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

import orjson

OURS: Final = (
    "tocsin",
    "tocsin_issuer",
    "tocsin_verifier_agent",
    "tocsin_revocation_bus",
    "tocsin_schemas",
)
FIELDS: Final = "fields"
"""The name under which a record's ``extra`` carries further members of its line."""

request_id: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)


class JsonFormatter(logging.Formatter):
    """``time`` (UTC), ``level``, ``logger``, ``message``; ``request_id`` within a request, and
    ``error`` with ``at``, innermost last, of an exception.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line, without the line's end."""
        members: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (current := request_id.get()) is not None:
            members["request_id"] = current
        members |= getattr(record, FIELDS, {})
        if record.exc_info and record.exc_info[0] is not None:
            members["error"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            members["at"] = [f"{one.filename}:{one.lineno} {one.name}" for one in frames]
        return orjson.dumps(members, default=str).decode()


def log_as_json(level: int) -> None:
    """Write the log to standard error from now on: what is ours from ``level`` on, warnings of
    everybody else.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
