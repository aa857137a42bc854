"""One refresh token in a hundred hands at once."""

from __future__ import annotations

import asyncio

from tests.faults.stack import Stack, comes_to
from tocsin_schemas.events import SessionsRevoked


async def test_of_a_hundred_refreshes_of_one_token_exactly_one_wins(stack: Stack) -> None:
    """The second one to come ends the session, so what the first one gets is dead as well."""
    issuer = await stack.issuer()
    login = await stack.log_in(issuer)
    async with stack.agent() as agent:
        agent.verify(login["access_token"])
        answers = await asyncio.gather(
            *(stack.refresh(issuer, login["refresh_token"]) for _ in range(100))
        )
        won = [answer for answer in answers if answer.status == 200]
        refused = [answer for answer in answers if answer not in won]
        assert len(won) == 1
        assert {(one.status, one.members["error"]) for one in refused} == {(400, "invalid_grant")}
        for token in [login["access_token"], *(one.members["access_token"] for one in won)]:
            await comes_to(agent, token, "session_revoked")
        ended = [event for event in await stack.events() if isinstance(event, SessionsRevoked)]
        sids = [one.sid for event in ended for one in event.sessions]
        assert [event.reason for event in ended] == ["refresh-reuse"]
        assert sids == [login["session_id"]]
        for one in won:
            again = await stack.refresh(issuer, one.members["refresh_token"])
            assert (again.status, again.members["error"]) == (400, "invalid_grant")
