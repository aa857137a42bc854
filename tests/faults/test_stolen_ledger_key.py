"""A stolen ledger key: docs/keys.md, step by step, with two sequencer candidates."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from pathlib import Path

from nats.errors import Error as NatsError

from tests.e2e.ceremonies import Operator
from tests.faults.issuer_process import COMMAND, IssuerProcess
from tests.faults.opened_term import append, ledger_key, next_record, read
from tests.faults.stack import AUDIENCE, ISSUER, PATIENCE_S, Stack, comes_to, verdict
from tests.issuer.embedded.bus import connect
from tests.support.flushed import flushed
from tocsin_issuer.development import ADMIN_SCOPES
from tocsin_issuer.store.clients import ClientStore
from tocsin_schemas.events import RevokedSession, SessionsRevoked
from tocsin_schemas.subjects import EDGE_PREFIX
from tocsin_verifier_agent import VerifierAgent

FORGED = "ev_forged"


def denied(sid: str, event_id: str) -> SessionsRevoked:
    rule = RevokedSession(sid, int(time.time()) + 3600)
    return SessionsRevoked(id=event_id, reason="logout", initiator="user", sessions=(rule,))


async def desk(stack: Stack, issuer: IssuerProcess) -> Operator:
    """Somebody who administers this issuer by command."""
    async with stack.store() as redis:
        secret = await ClientStore(redis).create("desk", [ISSUER], ADMIN_SCOPES)
    path = stack.folder / "admin.toml"
    path.write_text(
        f'public_url = "{issuer.url}"\n'
        f'internal_url = "http://127.0.0.1:{issuer.internal_port}"\n'
        f'client_id = "desk"\nclient_secret = "{secret}"\n'
    )
    path.chmod(0o600)
    return Operator(stack.folder / "desk", path)


async def gets_in(stack: Stack, credentials: Path) -> bool:
    """Whether these credentials still open the bus."""
    try:
        connection = await connect(stack.nats, credentials, persistent=False)
    except NatsError:
        return False
    await connection.connection.close()
    return True


async def replayed(stack: Stack, since: float) -> list[dict[str, object]]:
    """`tocsin audit replay`: the events of intact records from then on."""
    done = await asyncio.to_thread(
        subprocess.run,
        [
            *COMMAND,
            *("audit", "replay", "--json", "--since", str(int(since))),
            *("--file", f"{AUDIENCE}.tocsin"),
        ],
        cwd=stack.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *records, summary = map(json.loads, done.stdout.splitlines())
    assert summary["intact"]
    return [event for one in records for event in one["events"]]


async def test_the_procedure(stack: Stack, tmp_path: Path) -> None:
    first, other = await stack.issuer("a"), await stack.issuer("b")
    operator = await desk(stack, first)
    stolen = ledger_key(stack)
    thiefs = Path(shutil.copy(stack.nats.core_credentials, tmp_path / "stolen.nk"))
    kept, victim = await stack.log_in(first), await stack.log_in(first, "victim")
    theft = time.time()
    ours: set[str] = set()

    async def log_out(issuer: IssuerProcess, agent: VerifierAgent) -> None:
        """Of a session of its own, and it counts."""
        token, _ = stack.token()
        answer = await stack.log_out(issuer, token)
        assert answer.accepted, answer.status
        ours.add(answer.members["event_id"])
        await comes_to(agent, token, "session_revoked")

    async with stack.agent() as agent:
        # The thief writes a record that everybody believes; agents hear of another one in a place
        # that is taken.
        await comes_to(agent, victim["access_token"], "accepted")
        sid = str(agent.verify(victim["access_token"]).claims["sid"])
        async with stack.bus() as client:
            replica, _ = await read(client, stack)
            await append(client, next_record(stack, replica, denied(sid, FORGED), signer=stolen))
            await comes_to(agent, victim["access_token"], "session_revoked")
            await log_out(first, agent)
            fork = next_record(stack, replica, denied("somebody", "ev_fork"), signer=stolen)
            await client.publish(EDGE_PREFIX + "sessions-revoked", fork.encode())
            await flushed(client)
        async with asyncio.timeout(PATIENCE_S):
            while agent.status().reason != "fork":  # noqa: ASYNC110 (another thread's doing)
                await asyncio.sleep(0.02)
        waits, _ = stack.token()
        answer = await stack.log_out(first, waits)
        assert answer.status == 202  # issuers have heard of it as well
        ours.add(answer.members["event_id"])

    # 1. Other credentials for CORE; the thief's open nothing any more.
    assert await gets_in(stack, thiefs)
    stack.nats.data_dir.remove(stack.nats.core_credentials.name)
    stack.nats.restart()
    for issuer in (first, other):
        issuer.kill()
        await issuer.start()
    assert not await gets_in(stack, thiefs)

    async with stack.agent() as agent:  # the one with the fork, restarted
        await comes_to(agent, kept["access_token"], "accepted")
        await comes_to(agent, waits, "session_revoked")

        # 2. A keyset with another ledger key, whose file goes to every candidate.
        had = {path.name for path in (first.folder / "keys").iterdir()}
        await operator.does("prepare", "--new-ledger-key")
        for path in (first.folder / "keys").iterdir():
            if path.name not in had:
                shutil.copy(path, other.folder / "keys")
        root = next((first.folder / "roots").glob("*.key"))
        secret = ("--secret-file", str(first.folder / "kek"))
        part = await operator.sign(operator.folder / "draft.json", *secret, root=str(root))
        await operator.does("assemble", "draft.json", str(part))
        early = await operator.keys("revoke", stolen.kid)
        assert "[last_ledger_key]" in early.stderr

        # 3. From here on nothing counts that the thief signs.
        published = json.loads(await operator.does("publish", "keyset.json"))
        assert published["status"] == "committed"

        # 4.
        revoked = await operator.keys("revoke", stolen.kid)
        assert revoked.returncode == 0, revoked.stderr
        ours |= {published["event_id"], json.loads(revoked.stdout)["event_id"]}
        await log_out(first, agent)
        first.kill()
        await log_out(other, agent)  # the other candidate has the key, and takes over
        await first.start()
        assert await verdict(agent, kept["access_token"]) == "accepted"

        # 5. What we did not write since the theft, and what undoes it.
        found = {str(one["id"]): one for one in await replayed(stack, theft) if "id" in one}
        assert set(found) - ours == {FORGED}
        sessions = found[FORGED]["sessions"]
        assert isinstance(sessions, list)
        assert [one["sid"] for one in sessions] == [sid]
        assert (await stack.refresh(first, victim["refresh_token"])).status == 400
        assert await verdict(agent, victim["access_token"]) == "session_revoked"
        again = await stack.log_in(first, "victim")
        await comes_to(agent, again["access_token"], "accepted")
