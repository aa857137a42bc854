"""Fifty thousand tokens in one call, on real servers: agents deny them, and nobody waits long."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

from tests.e2e.conftest import Stack
from tests.support.rejected import rejected
from tests.support.tokens import own_jti

TOTAL = 50_000
LOGOUT_S = 5.0
"""What a logout may take while a bulk revocation runs, on a machine that does other things too."""


async def test_a_bulk_revocation_and_a_logout_meanwhile(stack: Stack) -> None:
    tokens = [(await stack.log_in())["access_token"] for _ in range(3)]
    exp = int(time.time()) + 600
    begun = asyncio.Event()

    async with stack.agent() as agent:
        first, last, other = [agent.verify(token).claims for token in tokens]

        async def body() -> AsyncIterator[bytes]:
            lines = [f"{own_jti(exp - 600)} {exp}\n" for _ in range(TOTAL - 2)]
            lines = [f"{first['jti']} {exp}\n", *lines, f"{last['jti']} {exp}\n"]
            for start in range(0, TOTAL, 500):
                yield "".join(lines[start : start + 500]).encode()
                if start > TOTAL // 10:
                    begun.set()

        async def send() -> list[dict[str, object]]:
            answer = await stack.http.post(
                stack.development.internal_url + "/admin/revocations/bulk?reason=breach",
                content=body(),
                headers={
                    "Authorization": f"Bearer {await stack.operator_token()}",
                    "Content-Type": "text/plain",
                },
                timeout=120,
            )
            assert answer.status_code == 200, answer.text
            return [json.loads(line) for line in answer.text.splitlines()]

        sending = asyncio.create_task(send())
        await begun.wait()
        started = time.monotonic()
        answer = await stack.post("/v1/logout", tokens[2])
        took_s = time.monotonic() - started
        assert not sending.done(), "the logout was to come in between"
        assert answer.status_code == 200, answer.text
        assert took_s < LOGOUT_S
        assert await rejected(agent, tokens[2]) == "session_revoked"
        assert other["jti"] not in (first["jti"], last["jti"])

        told = await sending
        assert told[-1] == {
            "status": "committed",
            "lines": TOTAL,
            "accepted": TOTAL,
            "expired": 0,
            "refused": 0,
            "through": TOTAL,
        }
        assert len(told) >= TOTAL // 10_000
        for token in tokens[:2]:
            assert await rejected(agent, token) == "token_revoked"
