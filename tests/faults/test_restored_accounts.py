"""An older Valkey knows accounts that had been closed, and passwords that had been replaced."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from tests.faults.issuer_process import IssuerProcess
from tests.faults.older_valkey import OlderValkey
from tests.faults.stack import ISSUER, PASSWORD, PATIENCE_S, Stack, comes_to
from tocsin_schemas import base64url, strict_json
from tocsin_schemas.events import SubjectRevokedBefore

OTHER_PASSWORD = "another password for tests"


@dataclass
class Operator:
    """Asks one issuer's admin API; the requests must succeed."""

    stack: Stack
    issuer: IssuerProcess
    token: str

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = await self.stack.http.post(
            f"http://127.0.0.1:{self.issuer.internal_port}/admin/{path}",
            headers={"Authorization": f"Bearer {self.token}"},
            json=body or None,
        )
        assert answer.status_code in (200, 201, 202), answer.text
        return dict(answer.json()) if answer.content else {}


def sub_of(login: dict[str, str]) -> str:
    payload = base64url.decode(login["access_token"].split(".")[1])
    return str(strict_json.loads_object(payload)["sub"])


async def operator(stack: Stack, issuer: IssuerProcess) -> Operator:
    await stack.add_user("operator", ["users:write", "clients:write"])
    login = await stack.log_in(issuer, "operator", audience=ISSUER)
    return Operator(stack, issuer, login["access_token"])


async def login_of(
    stack: Stack, issuer: IssuerProcess, name: str, password: str = PASSWORD
) -> tuple[int, str]:
    """Status and access token."""
    body = {"username": name, "password": password}
    answer = await stack.post(issuer, "/v1/login", json=body)
    return answer.status, answer.members.get("access_token", "")


async def grant_of(stack: Stack, issuer: IssuerProcess, client_id: str, secret: str) -> int:
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    return (await stack.post(issuer, "/oauth/token", data=form)).status


async def test_what_was_closed_or_replaced_stays_so_when_valkey_goes_back(stack: Stack) -> None:
    """Who was let in again before that point stays in, and an operator can let the others in."""
    issuer = await stack.issuer()
    subs = {
        name: sub_of(await stack.log_in(issuer, name))
        for name in ("disabled", "deleted", "renewed", "back-again")
    }
    admin = await operator(stack, issuer)
    secrets = {
        name: (await admin.post("clients", client_id=name, audiences=["orders"]))["client_secret"]
        for name in ("rotated", "closed", "kept")
    }
    await admin.post(f"users/{subs['back-again']}/disable")
    await admin.post(f"users/{subs['back-again']}/enable")
    older = OlderValkey(stack)
    await admin.post(f"users/{subs['disabled']}/disable")
    await admin.post(f"users/{subs['renewed']}/password", password=OTHER_PASSWORD)
    deleted = await stack.http.delete(
        f"http://127.0.0.1:{issuer.internal_port}/admin/users/{subs['deleted']}",
        headers={"Authorization": f"Bearer {admin.token}"},
    )
    assert deleted.status_code == 200
    renewed = (await admin.post("clients/rotated/secret"))["client_secret"]
    await admin.post("clients/closed/disable")
    async with stack.agent() as agent:
        older.restore()
        # Before the ledger has been read again nobody can know: what is got now has to end.
        early = [await login_of(stack, issuer, name) for name in ("disabled", "renewed")]
        deadline = time.monotonic() + PATIENCE_S
        while "Redis is up to the ledger again" not in issuer.log:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        for _, token in early:
            if token:
                await comes_to(agent, token, "subject_revoked")
    for name in ("disabled", "deleted", "renewed"):
        assert (await login_of(stack, issuer, name))[0] == 401
        assert f"says of {subs[name]}" in issuer.log
    assert (await login_of(stack, issuer, "back-again"))[0] == 200
    assert f"says of {subs['back-again']}" not in issuer.log
    assert await grant_of(stack, issuer, "kept", secrets["kept"]) == 200
    for name, secret in [*secrets.items(), ("rotated", renewed)]:
        assert await grant_of(stack, issuer, name, secret) == (200 if name == "kept" else 401)

    admin = await operator(stack, issuer)
    await admin.post(f"users/{subs['renewed']}/password", password=OTHER_PASSWORD)
    await admin.post(f"users/{subs['renewed']}/enable")
    assert (await login_of(stack, issuer, "renewed"))[0] == 401
    assert (await login_of(stack, issuer, "renewed", OTHER_PASSWORD))[0] == 200
    await admin.post("clients/rotated/secret")
    again = (await admin.post("clients/rotated/secret"))["client_secret"]
    await admin.post("clients/rotated/enable")
    assert await grant_of(stack, issuer, "rotated", again) == 200
    assert await grant_of(stack, issuer, "rotated", secrets["rotated"]) == 401


async def test_what_waits_in_the_older_outbox_came_with_its_change(stack: Stack) -> None:
    """The record is not in its journal, and still it knows: the account may be in use again."""
    issuer = await stack.issuer()
    sub = sub_of(await stack.log_in(issuer, "alice"))
    admin = await operator(stack, issuer)
    # Nothing else that goes to Redis is a signed record.
    holds = [issuer.redis.hold(b"\r\neyJ") for _ in range(6)]
    await admin.post(f"users/{sub}/disable")
    async with asyncio.timeout(5):
        await holds[0].reached.wait()
    await admin.post(f"users/{sub}/enable")
    older = OlderValkey(stack)
    for hold in holds:
        hold.release()
    ended: list[str] = []
    while sub not in ended:
        await asyncio.sleep(0.1)
        events = await stack.events()
        ended = [event.sub for event in events if isinstance(event, SubjectRevokedBefore)]
    older.restore()
    deadline = time.monotonic() + PATIENCE_S
    while "Redis is up to the ledger again" not in issuer.log:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert (await login_of(stack, issuer, "alice"))[0] == 200
    assert "says of" not in issuer.log
