"""An issuer that is told to end, as at every deployment, loses no logout that it has accepted."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter

from tests.faults.issuer_process import IssuerProcess
from tests.faults.stack import Answer, Stack, comes_to
from tests.faults.test_crashes import _PUBLISH
from tocsin_schemas.events import SessionsRevoked

LOAD = 8
END_S = 15.0


async def ended(issuer: IssuerProcess) -> int:
    """Its exit status after SIGTERM."""
    assert issuer.process is not None
    issuer.signal(signal.SIGTERM)
    return await asyncio.to_thread(issuer.process.wait, END_S)


async def revoked(stack: Stack) -> Counter[str]:
    """How many events of the ledger revoke each session."""
    events = [event for event in await stack.events() if isinstance(event, SessionsRevoked)]
    return Counter(one.sid for event in events for one in event.sessions)


async def test_under_a_load_of_logouts(stack: Stack) -> None:
    issuer = await stack.issuer()
    told: dict[str, Answer] = {}

    async def keep_logging_out() -> None:
        """Until the listener is gone."""
        while True:
            token, sid = stack.token()
            told[sid] = await stack.log_out(issuer, token)
            if len(told) >= 50:
                many.set()
            if not told[sid].status:
                return

    many = asyncio.Event()
    clients = [asyncio.create_task(keep_logging_out()) for _ in range(LOAD)]
    async with asyncio.timeout(END_S):
        await many.wait()
    assert await ended(issuer) == 0, issuer.log
    await asyncio.gather(*clients)
    accepted = [sid for sid, answer in told.items() if answer.accepted]
    assert len(accepted) >= 50
    lines = [json.loads(line) for line in issuer.log.splitlines()]
    served = [line for line in lines if line.get("route") == "/v1/logout"]
    assert len(served) >= len(accepted)
    assert len({line["request_id"] for line in served}) == len(served)
    assert [line for line in lines if line["level"] == "error"] == []
    assert {answer.status for answer in told.values()} <= {200, 202, 0}

    restarted = await stack.issuer()
    last, last_sid = stack.token()
    assert (await stack.log_out(restarted, last)).status == 200
    counted = await revoked(stack)
    assert {counted[sid] for sid in (*accepted, last_sid)} == {1}


async def test_who_waits_for_the_ledger_is_answered_first(stack: Stack) -> None:
    """The ledger hears nothing meanwhile: 202, from the durable outbox, and 200 after the restart.

    A client that is not answered has been promised nothing; but these had been let in.
    """
    issuer = await stack.issuer()
    hold = issuer.nats.hold(_PUBLISH)
    leaving = [stack.token() for _ in range(LOAD)]
    asked = [asyncio.create_task(stack.log_out(issuer, token)) for token, _ in leaving]
    async with asyncio.timeout(5):
        await hold.reached.wait()
    status = asyncio.create_task(ended(issuer))
    answers = await asyncio.gather(*asked)
    assert {answer.status for answer in answers} == {202}
    assert await status == 0, issuer.log
    assert (await stack.log_out(issuer, leaving[0][0])).status == 0, "nobody listens any more"

    await stack.issuer()
    async with stack.agent() as agent:
        for token, _ in leaving:
            await comes_to(agent, token, "session_revoked")
    counted = await revoked(stack)
    assert {counted[sid] for _, sid in leaving} == {1}
