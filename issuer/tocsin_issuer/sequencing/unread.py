"""Whether the stream holds a message that has not been read, as its leader sees it."""

from __future__ import annotations

import json
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

from tocsin_revocation_bus.jetstream.direct_get import ReadFailed
from tocsin_schemas.subjects import LEDGER_STREAM

_GET: Final = f"$JS.API.STREAM.MSG.GET.{LEDGER_STREAM}"
_NOT_FOUND: Final = 10037
_TIMEOUT_S: Final = 5.0


async def holds_unread(client: Client, next_seq: int, last_seq: int) -> bool:
    """Whether a message stands from ``next_seq`` to ``last_seq``.

    The last sequence outlives the heartbeat that had it, so after a pause nothing may stand there.
    A direct get may be answered by a replica that lags; this question goes to the leader.

    Raises:
        ReadFailed: ``read_timeout`` or ``read_refused``.
    """
    if next_seq > last_seq:
        return False
    request = json.dumps({"seq": next_seq, "next_by_subj": ">"}).encode()
    try:
        answer = json.loads((await client.request(_GET, request, timeout=_TIMEOUT_S)).data)
    except (NatsError, ValueError):
        raise ReadFailed("read_timeout") from None
    if "error" in answer:
        if answer["error"].get("err_code") == _NOT_FOUND:
            return False
        raise ReadFailed("read_refused")
    return int(answer["message"]["seq"]) <= last_seq
