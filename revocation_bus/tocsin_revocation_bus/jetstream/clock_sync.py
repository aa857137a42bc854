"""When an agent asks the sequencers for the time, and when it rather does not.

Every answer costs the issuer a signature, and thousands of agents can lose their connection, or
hear a new clock, in the same moment. So nobody asks for what it knows already, and whoever holds a
lease takes its time.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable
from contextlib import suppress

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from tocsin_revocation_bus.clocks import lease_clock, wall_clock
from tocsin_revocation_bus.core.replica import Outcome, Replica
from tocsin_revocation_bus.jetstream.backoff import Backoff
from tocsin_schemas import base64url
from tocsin_schemas.subjects import CLOCK_SYNC

SYNC_EVERY_S = 600.0
SYNC_AGAIN_S = 30.0  # after a sync that nobody answered, or that took long
SPREAD_S = 5.0  # over which agents that hold a lease ask
ANSWER_S = 5.0
SLOW_S = 1.0  # a proof is older than its heartbeat by as long as the sync took
_JITTER = 0.2


class ClockSyncLoop:
    """Keeps ``replica`` in sync with the clocks of all candidates.

    ``on_answer`` is called after each answer that the replica was given.
    """

    def __init__(self, replica: Replica, on_answer: Callable[[], None]) -> None:
        self._replica = replica
        self._on_answer = on_answer
        self._wanted = asyncio.Event()
        self._answered = asyncio.Event()
        self._asked_at: int | None = None
        self._took_s = 0.0
        self._due = True

    def connected(self) -> None:
        """Ask soon, should one be due. A connection that was lost for a few seconds needs none:
        the lease renews by itself on a clock that is known.
        """
        if self._due:
            self._wanted.set()
        self.look()

    def look(self) -> None:
        """Ask soon, should the newest heartbeat run on a clock that we do not know."""
        if self._replica.needs_sync():
            self._wanted.set()

    async def run(self, client: Client) -> None:
        """Ask when wanted, and from time to time, for as long as the connection lives."""
        inbox = client.new_inbox()
        try:
            await client.subscribe(inbox, cb=self._on_reply)
        except NatsError:
            return  # the connection is closed already
        backoff = Backoff()
        while True:
            period = SYNC_AGAIN_S if self._due or self._took_s > SLOW_S else SYNC_EVERY_S
            with suppress(TimeoutError):
                async with asyncio.timeout(period * random.uniform(1 - _JITTER, 1)):  # noqa: S311
                    await self._wanted.wait()
            self._due = True
            await asyncio.sleep(random.uniform(0, self._spread_s()))  # noqa: S311
            self._wanted.clear()
            if not client.is_connected or self._replica.trust.keyset is None:
                continue  # no answer could be had, or checked: who brings either, wakes us
            await self._ask(client, inbox)
            if self._replica.needs_sync():
                await backoff.pause()
            else:
                backoff.reset()
            self._wanted.clear()  # heartbeats have asked on while the answer was under way
            self.look()

    def _spread_s(self) -> float:
        """How long we may let others go first: not at all without a lease."""
        until = self._replica.valid_until()
        left_s = 0.0 if until is None else (until - lease_clock()) / 1e9
        return min(SPREAD_S, max(0.0, left_s / 4))

    async def _ask(self, client: Client, inbox: str) -> None:
        """Ask every candidate; each that answers spares a sync after a failover."""
        nonce = base64url.encode(secrets.token_bytes(18))
        self._answered.clear()
        sent = lease_clock()
        self._asked_at = sent if self._asked_at is None else self._asked_at
        self._replica.sync_sent(nonce, sent)
        with suppress(NatsError, TimeoutError):
            await client.publish(CLOCK_SYNC, f'{{"nonce":"{nonce}"}}'.encode(), reply=inbox)
            async with asyncio.timeout(ANSWER_S):
                await self._answered.wait()

    async def _on_reply(self, message: Msg) -> None:
        """An answer counts however late it comes. Issuers that are busy would otherwise be asked
        again and again for what they have already signed.
        """
        if (message.headers or {}).get("Status") is not None:
            self._answered.set()  # nobody is there to answer
            return
        text, now = message.data.decode("ascii", "replace"), lease_clock()
        if self._replica.apply_clock_reply(text, now, wall_clock()) is Outcome.APPLIED:
            if self._asked_at is not None:
                self._took_s = (now - self._asked_at) / 1e9
            self._asked_at, self._due = None, False
            self._answered.set()
        self._on_answer()
