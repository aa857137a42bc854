"""Services that ask the sidecar: the same verdicts as from an agent of their own, or 503."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from fastapi import Depends, FastAPI

from tests.verifier_agent.sidecar import running
from tests.verifier_agent.sidecar.conftest import Host
from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent import authenticator
from tocsin_verifier_agent.fastapi import TocsinMiddleware, require
from tocsin_verifier_agent.sidecar.client import SidecarClient

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORKS = """
import os, sys
from tocsin_verifier_agent.sidecar.client import SidecarClient
path, *tokens = sys.stdin.read().split()
client = SidecarClient(path)
assert client.start()
first = client.authenticate_blocking(tokens[0]).subject  # a connection of the parent's is open
children = []
for token in tokens:
    if (child := os.fork()) == 0:
        good = {client.authenticate_blocking(token).token.jti for _ in range(30)}
        try:
            client.authenticate_blocking("nonsense")
        except Exception as refused:
            os._exit(0 if len(good) == 1 and refused.code == "segments" else 1)
        os._exit(2)
    children.append(child)
mine = {client.authenticate_blocking(tokens[0]).token.jti for _ in range(30)}
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
client.stop()
print(len(mine), codes)
"""


@pytest_asyncio.fixture(loop_scope="module")
async def client(host: Host) -> AsyncIterator[SidecarClient]:
    client = SidecarClient(host.socket)
    assert await client.run_in_loop()
    yield client
    await client.leave_loop()


async def test_verdicts(host: Host, client: SidecarClient) -> None:
    token = await host.token()
    async with host.stack.agent() as agent:
        own = agent.verify(token)
    for verified in (
        await client.authenticate(token),
        await asyncio.to_thread(client.authenticate_blocking, token),
    ):
        assert (verified.payload, verified.token) == (own.payload, own.token)
        assert verified.claims == own.claims
        assert verified.allows("orders:read")
        assert time.time() < verified.valid_until < time.time() + 4
    for bad, code in (
        ("nonsense", "segments"),
        (token[:-4] + "AAAA", "signature"),
        ("\ud800", "characters"),
        ("x" * 70_000, "size"),
    ):
        with pytest.raises(TokenRejected) as rejected:
            await client.authenticate(bad)
        assert rejected.value.code == code
        with pytest.raises(TokenRejected) as rejected:
            await asyncio.to_thread(client.authenticate_blocking, bad)
        assert rejected.value.code == code
    for limit in (0, -1):
        with pytest.raises(AgentStale) as stale:
            await client.authenticate(token, max_staleness=limit)
        assert stale.value.code == "lease_lapsed"
    assert (await client.authenticate(token, 15, "accept")).unproven == ""
    assert (await client.authenticate(token, 0, "accept")).unproven == "lease_lapsed"
    await asyncio.to_thread(client.stop)


async def test_tokens_for_another_service_of_the_host(host: Host, client: SidecarClient) -> None:
    token = await host.token()
    iss = (await client.authenticate(token)).issuer
    for audiences, good in (
        ({iss: frozenset({"orders"})}, True),
        ({iss: frozenset({"somebody-else"})}, False),
        ({"https://other.example": frozenset({"orders"})}, False),
    ):
        mine = SidecarClient(host.socket, audiences)
        try:
            if good:
                await mine.authenticate(token)
            else:
                with pytest.raises(TokenRejected, match="not valid") as rejected:
                    await mine.authenticate(token)
                assert rejected.value.code == "aud"
        finally:
            await mine.leave_loop()


async def test_one_line_in_the_file(host: Host, folder: Path) -> None:
    """The same service, with the agent that the file asks for."""
    path = folder / "orders-by-sidecar.tocsin"
    text = (folder / "orders.tocsin").read_text()
    path.write_text(f'sidecar = "run/tocsin.sock"\n{text}')
    path.chmod(0o600)
    chosen = authenticator.from_file(path)
    assert isinstance(chosen, SidecarClient)
    app = FastAPI()
    app.add_middleware(TocsinMiddleware, agent=chosen)

    @app.get("/orders", dependencies=[Depends(require("orders:read"))])
    def orders() -> None: ...

    @app.get("/admin", dependencies=[Depends(require("orders:admin"))])
    def admin() -> None: ...

    @app.get("/money", dependencies=[Depends(require("orders:read", max_staleness=0.0))])
    def money() -> None: ...

    good = {"Authorization": f"Bearer {await host.token()}"}
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://orders") as http:
        for where, headers, status in (
            ("/orders", good, 200),
            ("/admin", good, 403),
            ("/money", good, 503),
            ("/orders", {"Authorization": "Bearer nonsense"}, 401),
            ("/orders", {}, 401),
        ):
            assert (await http.get(where, headers=headers)).status_code == status, where
    await chosen.leave_loop()


async def test_after_a_fork(host: Host) -> None:
    tokens = [await host.token() for _ in range(3)]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", "-c", FORKS],
        input="\n".join([str(host.socket), *tokens]),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == "1 [0, 0, 0]\n", done.stderr


async def test_threads_and_their_loops(host: Host) -> None:
    tokens = [await host.token() for _ in range(4)]
    client = SidecarClient(host.socket)
    seen: list[tuple[str, str]] = []

    async def in_a_loop(token: str) -> None:
        seen.extend([(token, (await client.authenticate(token)).claims["jti"]) for _ in range(10)])
        await client.leave_loop()

    def in_a_thread(number: int, token: str) -> None:
        if number % 2:
            asyncio.run(in_a_loop(token))
        else:
            verdicts = [client.authenticate_blocking(token) for _ in range(10)]
            seen.extend((token, verified.claims["jti"]) for verified in verdicts)

    threads = [threading.Thread(target=in_a_thread, args=pair) for pair in enumerate(tokens)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    client.stop()
    assert len(seen) == 40
    assert len(set(seen)) == 4


async def test_what_the_sidecar_says_of_itself(host: Host, client: SidecarClient) -> None:
    """For a service's readiness page, as its own agent would describe itself."""
    async with host.stack.agent() as agent:
        own = agent.describe()
    described = await asyncio.to_thread(client.describe)
    assert described["state"] == "live"
    assert described.keys() == own.keys()
    await asyncio.to_thread(client.stop)


NO_DESCRIPTIONS = [
    b"",
    b"[" * 60_000,
    b"null",
    b'"live"',
    b"{}",
    b'{"state": "live", "state": "live"}',
    b'{"state": "live"}' + b" " * 70_000,
]


@pytest.mark.parametrize("body", NO_DESCRIPTIONS)
async def test_answers_that_describe_nothing(tmp_path: Path, body: bytes) -> None:
    async with Impostor(tmp_path / "s") as impostor:
        client = SidecarClient(impostor.path)
        for status in (200, 500):
            impostor.answer = http_answer(status, body)
            assert await client.run_in_loop() is False
            assert await asyncio.to_thread(client.start) is False
        impostor.answer = http_answer(500, b'{"state": "live"}')
        assert await client.run_in_loop() is False
        impostor.answer = http_answer(200, b'{"state": "live"}')
        assert await client.run_in_loop() is True
        assert await asyncio.to_thread(client.start) is True
        await client.leave_loop()
        client.stop()


async def test_until_a_logout(host: Host, client: SidecarClient) -> None:
    token = await host.token()
    watching = asyncio.create_task(client.until_refused(token))
    await asyncio.sleep(0.1)
    assert not watching.done()
    assert (await host.stack.post("/v1/logout", token)).status_code == 200
    async with asyncio.timeout(2.5):
        refusal = await watching
    assert isinstance(refusal, TokenRejected)
    assert refusal.code == "session_revoked"


# httpcore does not close the socket of a connection that is refused.
@pytest.mark.filterwarnings("ignore:.*unclosed <socket.*:ResourceWarning")
@pytest.mark.filterwarnings("ignore:.*<socket.socket.*:pytest.PytestUnraisableExceptionWarning")
async def test_a_sidecar_that_comes_and_goes(host: Host, folder: Path) -> None:
    """No verdict outlives it, and its return is noticed without a restart of the service."""
    token = await host.token()
    path = folder / "run" / "restarted.sock"
    client = SidecarClient(path)
    assert await client.run_in_loop() is False
    assert await asyncio.to_thread(client.start) is False
    assert client.describe() == {"state": "stale", "reason": "sidecar_unreachable"}
    for _ in range(2):
        async with running.sidecar(folder, "orders", "--socket", str(path)) as child:
            await client.authenticate(token)
            await asyncio.to_thread(client.authenticate_blocking, token)
            watching = asyncio.create_task(client.until_refused(token))
            await asyncio.sleep(0.05)
            child.process.kill()
            child.process.wait()
            await unreachable(client, token)
            refusal = await watching
            assert isinstance(refusal, AgentStale)
            assert refusal.code == "sidecar_unreachable"
    await client.leave_loop()
    await asyncio.to_thread(client.stop)


async def unreachable(client: SidecarClient, token: str) -> None:
    for asked in (
        client.authenticate(token),
        asyncio.to_thread(client.authenticate_blocking, token),
        client.authenticate(token, on_stale="accept"),
    ):
        with pytest.raises(AgentStale) as stale:
            await asked
        assert (stale.value.code, stale.value.retry_after) == ("sidecar_unreachable", 1)


class Impostor:
    """Something on a socket that is no sidecar."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answer = b""
        self.pause = 0.0
        self.answers_per_connection = 1
        self.reads_the_next = False

    async def __aenter__(self) -> "Impostor":
        self._server = await asyncio.start_unix_server(self._connected, self.path)
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for _ in range(self.answers_per_connection):
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"POST"):
                    await reader.readuntil(b"}")
                await asyncio.sleep(self.pause)
                writer.write(self.answer)
                await writer.drain()
            if self.reads_the_next:
                await reader.readuntil(b"}")
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def http_answer(status: int, body: bytes, *fields: bytes) -> bytes:
    lines = [b"HTTP/1.1 %d x" % status, b"content-length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


ACCEPTED = {
    "verified": {
        "payload": "e30=",
        "token": {"aud": "orders", "exp": 2**31, "iat": 1, "iss": "i", "sub": "u"},
        "valid_until": 2.0**31,
    },
    "valid_for": 60.0,
}
NOT_VERDICTS = [
    b"",
    b"hello\r\n\r\n",
    http_answer(200, b""),
    http_answer(200, b"ok"),
    http_answer(200, b"{}"),
    http_answer(200, b"null"),
    http_answer(200, b'{"active": true}'),
    http_answer(200, json.dumps({"verified": ACCEPTED["verified"]}).encode()),
    http_answer(200, json.dumps({**ACCEPTED, "verified": {"payload": "e30="}}).encode()),
    http_answer(200, json.dumps({**ACCEPTED, "more": 1}).encode()),
    http_answer(200, json.dumps({**ACCEPTED, "valid_for": 1e300}).encode()),
    http_answer(200, json.dumps({**ACCEPTED, "valid_for": -1.0}).encode()),
    http_answer(200, b"[" * 60_000),
    http_answer(200, json.dumps(ACCEPTED).encode() + b" " * 70_000),
    http_answer(201, json.dumps(ACCEPTED).encode()),
    http_answer(302, json.dumps(ACCEPTED).encode(), b"location: http://127.0.0.1/"),
    http_answer(500, json.dumps(ACCEPTED).encode()),
    http_answer(401, b"{}"),
    http_answer(401, b'{"code": "a\\nb"}'),
    http_answer(401, b'{"code": "ab\\n"}'),
    http_answer(403, b'{"code": "aud"}'),
    http_answer(503, b"busy"),
    http_answer(200, json.dumps(ACCEPTED).encode())[:-10],
]


@pytest.mark.parametrize("number", range(len(NOT_VERDICTS)))
async def test_answers_that_are_no_verdicts(tmp_path: Path, number: int) -> None:
    async with Impostor(tmp_path / "s") as impostor:
        impostor.answer = NOT_VERDICTS[number]
        client = SidecarClient(impostor.path)
        await unreachable(client, "t")
        await client.leave_loop()
        client.stop()


async def test_a_connection_that_ends_under_a_question(tmp_path: Path) -> None:
    """As where the sidecar was restarted: the question is asked once more, on another one."""
    async with Impostor(tmp_path / "s") as impostor:
        impostor.answer = http_answer(200, json.dumps(ACCEPTED).encode())
        impostor.reads_the_next = True
        client = SidecarClient(impostor.path)
        for _ in range(3):
            assert (await client.authenticate("t")).subject == "u"
            verified = await asyncio.to_thread(client.authenticate_blocking, "t")
            assert verified.subject == "u"
        impostor.answers_per_connection = 0
        await unreachable(client, "t")
        await client.leave_loop()
        client.stop()


async def test_a_folder_that_others_came_to_write_to(tmp_path: Path) -> None:
    """Missing or closed when the service starts: who listens there in the end is another matter."""
    folder = tmp_path / "run"
    client = SidecarClient(folder / "s")
    await unreachable(client, "t")
    folder.mkdir(0o755)
    async with Impostor(folder / "s") as impostor:
        impostor.answer = http_answer(200, json.dumps(ACCEPTED).encode())
        assert (await client.authenticate("t")).subject == "u"
        folder.chmod(0o777)
        for ask in (client.authenticate("t"), asyncio.to_thread(client.authenticate_blocking, "t")):
            with pytest.raises(AgentStale) as stale:
                await ask
            assert stale.value.code == "socket_folder"
        folder.chmod(0o755)
        assert (await client.authenticate("t")).subject == "u"
        await client.leave_loop()
        await asyncio.to_thread(client.stop)


async def test_an_answer_that_is_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was proven when the sidecar answered need not be any more when the answer is read."""
    async with Impostor(tmp_path / "s") as impostor:
        client = SidecarClient(impostor.path)
        impostor.answer = http_answer(200, json.dumps({**ACCEPTED, "valid_for": 0.2}).encode())
        assert (await client.authenticate("t")).subject == "u"
        impostor.pause = 0.3
        for ask in (client.authenticate("t"), asyncio.to_thread(client.authenticate_blocking, "t")):
            with pytest.raises(AgentStale) as stale:
                await ask
            assert stale.value.code == "lease_lapsed"
        await client.leave_loop()
        client.stop()

        monkeypatch.setattr("tocsin_verifier_agent.sidecar.connections.TIMEOUT_S", 0.2)
        client = SidecarClient(impostor.path)
        impostor.answer = http_answer(200, json.dumps(ACCEPTED).encode())
        await unreachable(client, "t")
        await client.leave_loop()
        client.stop()
