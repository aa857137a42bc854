"""The stream's configuration, declared from this one place."""

import json
from typing import Any

from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeout

from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.subjects import EDGE_SUBJECTS, LEDGER_STREAM, LEDGER_SUBJECTS

_API = "$JS.API.STREAM"
_TIMEOUT_S = 5.0
# What must hold on an existing stream; NATS fills in the rest.
_LEDGER: dict[str, Any] = {
    "name": LEDGER_STREAM,
    "subjects": [LEDGER_SUBJECTS],
    "storage": "file",
    "retention": "limits",
    "discard": "new",
    "max_age": 0,
    "max_msgs": -1,
    "max_bytes": -1,
    "deny_delete": True,
    "deny_purge": True,
    "allow_direct": True,
    "allow_msg_ttl": True,
    "duplicate_window": 120_000_000_000,
    "republish": {"src": LEDGER_SUBJECTS, "dest": EDGE_SUBJECTS},
}


async def _request(client: Client, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    payload = b"" if body is None else json.dumps(body).encode()
    try:
        answer = await client.request(f"{_API}.{verb}.{LEDGER_STREAM}", payload, timeout=_TIMEOUT_S)
    except (NatsTimeout, NoRespondersError):
        raise ConfigurationError("bus_unavailable", "JetStream does not answer") from None
    parsed: dict[str, Any] = json.loads(answer.data)
    return parsed


async def declare_ledger(client: Client, *, replicas: int = 1) -> None:
    """Create the ledger's stream, or check that it is what it must be.

    An existing stream is never changed here: an update that lowers ``max_age`` would wipe even a
    stream that denies deletes.

    Raises:
        ConfigurationError: ``bus_unavailable``, ``stream_refused`` or ``stream_differs``.
    """
    wanted = {**_LEDGER, "num_replicas": replicas}
    found = await _request(client, "INFO")
    if "error" in found:
        found = await _request(client, "CREATE", wanted)
    if "error" in found:
        reason = found["error"].get("description", "")
        raise ConfigurationError("stream_refused", f"{LEDGER_STREAM}: {reason}")
    config = found["config"]
    for name, value in _LEDGER.items():
        if config.get(name, 0) != value:
            raise ConfigurationError(
                "stream_differs", f"{LEDGER_STREAM}: {name} is not what Tocsin needs"
            )


async def last_sequence(client: Client) -> int:
    """The stream's last sequence, which is what the fence compares.

    Raises:
        ConfigurationError: ``bus_unavailable`` or ``stream_missing``.
    """
    found = await _request(client, "INFO")
    if "error" in found:
        raise ConfigurationError("stream_missing", f"{LEDGER_STREAM} does not exist")
    last: int = found["state"]["last_seq"]
    return last
