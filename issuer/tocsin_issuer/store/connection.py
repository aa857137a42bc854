"""The connection to Redis, with every wait capped."""

import asyncio
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

MAX_CONNECTIONS: Final = 32
_CONNECT_TIMEOUT_S: Final = 2.0
_POOL_TIMEOUT_S: Final = 4.0
_ANSWER_TIMEOUT_S: Final = 5.0
_HEALTH_CHECK_S: Final = 15
_RETRIES: Final = 3
_RETRY_BASE_S: Final = 0.02
_RETRY_CAP_S: Final = 0.5


class _Client(Redis):
    """Caps a whole command, attempts included.

    The library's own ``socket_timeout`` must stay off: it sends under ``asyncio.wait_for``, which
    in Python 3.11 loses a cancellation that arrives when the bytes are already out. A task that was
    cancelled, or an ``asyncio.timeout`` that has fired, would then go on as if nothing had been.
    """

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command.

        Raises:
            RedisError: ``TimeoutError`` after 5 seconds; nobody knows whether it ran.
        """
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                answer: Any = await super().execute_command(  # type: ignore[no-untyped-call]
                    *args, **options
                )
                return answer
        except TimeoutError:
            raise RedisTimeoutError("no answer in time") from None


def connect(url: str, *, max_connections: int = MAX_CONNECTIONS) -> Redis:
    """A client for the URL. It connects when it is first used; close it with ``aclose()``.

    A command whose connection broke is sent again, so a script may run twice: those that emit an
    event recognise their own second run (:class:`~tocsin_issuer.store.scripts.EmittingScript`), or
    find nothing left to end; the others do no harm by it. A command that timed out is not.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        decode_responses=True,
        protocol=2,
        max_connections=max_connections,
        timeout=_POOL_TIMEOUT_S,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        socket_timeout=None,
        health_check_interval=_HEALTH_CHECK_S,
        retry=Retry(
            ExponentialWithJitterBackoff(base=_RETRY_BASE_S, cap=_RETRY_CAP_S),
            _RETRIES,
            supported_errors=(RedisConnectionError,),
        ),
    )
    return _Client.from_pool(pool)
