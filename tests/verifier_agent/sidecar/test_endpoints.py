"""A real sidecar on a Unix socket: what proxies and services are told."""

import asyncio
import base64
import json
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.verifier_agent.sidecar import running
from tests.verifier_agent.sidecar.conftest import Host
from tests.verifier_agent.sidecar.running import Answer, ask, bearer
from tocsin_schemas import strict_json
from tocsin_verifier_agent.sidecar import headers

pytestmark = pytest.mark.asyncio(loop_scope="module")
AUTH = ("/auth", "/ext_authz", "/ext_authz/orders/1?require=x&max_staleness=soon", "/ext_authz//")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def token(host: Host) -> AsyncIterator[str]:
    yield await host.token()


def claims_of(token: str) -> dict[str, object]:
    payload = token.split(".")[1]
    return strict_json.loads_object(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


@pytest.mark.parametrize("path", AUTH)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "TRACE"])
async def test_a_good_token(host: Host, token: str, path: str, method: str) -> None:
    answer = await asyncio.to_thread(ask, host.socket, path, [bearer(token)], method)
    claims = claims_of(token)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    given = {name: answer.headers[name.lower()] for name in headers.NAMES}
    assert given.pop(headers.VALID_UNTIL).isdigit()
    assert given == {
        headers.SUBJECT: claims["sub"],
        headers.CLIENT: claims["client_id"],
        headers.SESSION: claims["sid"],
        headers.PERMISSIONS: "inventory:read inventory:write orders:read orders:write",
        headers.ISSUER: claims["iss"],
        headers.TOKEN_ID: claims["jti"],
        headers.UNPROVEN: "",
        headers.WOULD_DENY: "",
    }
    assert not answer.body
    assert time.time() <= int(answer.headers["x-tocsin-valid-until"]) + 1 < time.time() + 5


@pytest.mark.parametrize("path", AUTH)
async def test_bad_tokens_get_one_answer(host: Host, token: str, path: str) -> None:
    texts: set[tuple[str, bytes]] = set()
    for bad in ("nonsense", "a.b.c", token[:-4] + "AAAA", token + "x", "e" * 9000):
        answer = await asyncio.to_thread(ask, host.socket, path, [bearer(bad)])
        assert answer.status == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert not [name for name in answer.headers if name.startswith("x-tocsin")]
        texts.add((answer.headers["www-authenticate"], answer.body))
    assert len(texts) == 1


async def test_no_token_or_two(host: Host, token: str) -> None:
    for presented in (
        [],
        [("Authorization", "Basic YTpi")],
        [bearer(token), bearer(token)],
        [("Authorization", f"Bearer {token}, Bearer {token}")],
        [("Cookie", f"token={token}")],
    ):
        answer = await asyncio.to_thread(ask, host.socket, "/auth", presented)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="tocsin"'
    in_query = await asyncio.to_thread(ask, host.socket, f"/auth?access_token={token}")
    assert in_query.status == 400, "a demand that is not known is not passed over"


async def ask_with(host: Host, token: str, query: str, *more: tuple[str, str]) -> Answer:
    return await asyncio.to_thread(ask, host.socket, f"/auth{query}", [bearer(token), *more], "GET")


async def test_demands_add_up(host: Host, token: str) -> None:
    for query, more in (
        ("?require=orders:read", []),
        ("?require=orders:read+orders:write&require=inventory:read", []),
        ("?max_staleness=3&max_staleness=60", []),
        ("?audience=orders", [("X-Tocsin-Require", "orders:read")]),
        ("", [("X-Tocsin-Require", "orders:read"), ("X-Tocsin-Max-Staleness", "60")]),
    ):
        assert (await ask_with(host, token, query, *more)).status == 200, (query, more)
    for query, more in (
        ("?require=orders:admin", []),
        ("?require=orders:read+orders:admin", []),
        ("?require=orders:admin&require=orders:read", []),
        ("?require=orders:admin", [("X-Tocsin-Require", "orders:read")]),
        ("?require=orders:read", [("X-Tocsin-Require", "orders:admin")]),
    ):
        answer = await ask_with(host, token, query, *more)
        assert answer.status == 403, (query, more)
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
        assert "orders:admin" in answer.headers["www-authenticate"]
    for query, more in (
        ("?max_staleness=0", []),
        ("?max_staleness=0&max_staleness=60", []),
        ("?max_staleness=0", [("X-Tocsin-Max-Staleness", "60")]),
    ):
        answer = await ask_with(host, token, query, *more)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1"), (query, more)
    for query in ("?audience=inventory2", "?audience=orders+somebody"):
        assert (await ask_with(host, token, query)).status == 401


@pytest.mark.parametrize(
    "query",
    [
        "?require=",
        "?require",
        "?required=orders:read",
        "?require=%0d%0aX-Tocsin-Subject:root",
        "?require=a%22b",
        "?require=%C3%BC",
        "?require=%ff",
        "?require=" + "a" * 256,
        "?require=" + "+".join("abcdefghijklmnopqrstuvwxyz0123456789"),
        "?max_staleness=-1",
        "?max_staleness=nan",
        "?max_staleness=1e9",
        "?on_stale=accept",
    ],
)
async def test_demands_that_nobody_would_enforce(host: Host, token: str, query: str) -> None:
    answer = await ask_with(host, token, query)
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "demand_malformed")


async def test_paths_that_are_not_there(host: Host, token: str) -> None:
    for path in ("/", "/authx", "/auth/", "/ext_authzx", "/AUTH", "/auth/../verify", "/verify/"):
        answer = await asyncio.to_thread(ask, host.socket, path, [bearer(token)])
        assert answer.status == 404, path


async def test_verify(host: Host, token: str) -> None:
    async def verify(body: bytes, kind: str = "application/json", method: str = "POST") -> Answer:
        return await asyncio.to_thread(
            ask, host.socket, "/verify", [("Content-Type", kind)], method, body
        )

    def question(**members: object) -> bytes:
        return json.dumps({"token": token, **members}).encode()

    answer = await verify(question())
    members = json.loads(answer.body)
    assert answer.status == 200
    assert 0 < members["valid_for"] <= 3.1
    verified = members["verified"]
    assert verified["token"]["sub"] == claims_of(token)["sub"]
    assert (verified["unproven"], verified["would_deny"]) == ("", "")

    answer = await verify(question(token="nonsense"))
    assert (answer.status, json.loads(answer.body)["code"]) == (401, "segments")
    answer = await verify(question(max_staleness=0))
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "lease_lapsed")
    for status, got in (
        (400, await verify(b"{}")),
        (400, await verify(b"x" * 100)),
        (400, await verify(question(on_stale="shrug"))),
        (400, await verify(question(more=1))),
        (400, await verify(b"[" * 50_000)),
        (413, await verify(b" " * 70_000)),
        (415, await verify(question(), "text/plain")),
        (405, await verify(b"", method="GET")),
    ):
        assert got.status == status, got.body
        assert token.encode() not in got.body


async def test_what_it_says_of_itself(host: Host, token: str) -> None:
    assert (await asyncio.to_thread(ask, host.socket, "/healthz")).status == 200
    ready = await asyncio.to_thread(ask, host.socket, "/readyz")
    described = json.loads(ready.body)
    assert (ready.status, described["state"], described["mode"]) == (200, "live", "enforce")
    await asyncio.to_thread(ask, host.socket, "/auth", [bearer("a.b.c")])
    metrics = await asyncio.to_thread(ask, host.socket, "/metrics")
    families = {
        family.name: family for family in text_string_to_metric_families(metrics.body.decode())
    }
    assert families["tocsin_agent_live"].samples[0].value == 1.0
    rejected = families["tocsin_agent_rejected"].samples
    assert families["tocsin_agent_rejected"].type == "counter"
    assert sum(sample.value for sample in rejected) >= 1


async def test_a_revocation_reaches_it_within_a_second(host: Host) -> None:
    token = await host.token()
    assert (await ask_with(host, token, "")).status == 200
    assert (await host.stack.post("/v1/logout", token)).status_code == 200
    done = time.monotonic()
    while (answer := await ask_with(host, token, "")).status == 200:
        assert time.monotonic() < done + 1.0
    assert (answer.status, b"revoked" in answer.body) == (401, False)


async def test_what_observe_mode_would_have_denied(host: Host, folder: Path) -> None:
    token = await host.token()
    path = folder / "observing.tocsin"
    path.touch(mode=0o600)
    policy = '\n[policy]\nmode = "observe"\n'
    path.write_text((folder / "orders.tocsin").read_text() + policy)
    socket = folder / "run" / "observing.sock"
    async with running.sidecar(folder, "observing", "--socket", str(socket)):
        answer = await asyncio.to_thread(ask, socket, "/auth", [bearer(token)])
        assert (answer.status, answer.headers["x-tocsin-would-deny"]) == (200, "")
        assert (await host.stack.post("/v1/logout", token)).status_code == 200
        deadline = time.monotonic() + 5
        while answer.headers["x-tocsin-would-deny"] == "":
            assert time.monotonic() < deadline
            answer = await asyncio.to_thread(ask, socket, "/auth", [bearer(token)])
        assert (answer.status, answer.headers["x-tocsin-would-deny"]) == (200, "session_revoked")
        assert answer.headers["x-tocsin-unproven"] == ""


async def test_the_socket_is_for_its_user_and_group(host: Host) -> None:
    mode = host.socket.stat().st_mode
    assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o660)
    assert stat.S_IMODE(host.socket.parent.stat().st_mode) & 0o007 == 0


async def test_no_token_is_in_its_log(host: Host, token: str) -> None:
    await ask_with(host, token, "?require=orders:admin")
    await ask_with(host, token + "x", "")
    assert token[-40:] not in host.child.text()
    assert host.child.text().count("\n") == 1, host.child.text()


async def test_start_and_end(host: Host, folder: Path) -> None:
    """A second one on the same socket is refused; a killed one's socket is taken over."""
    path = folder / "run" / "other.sock"
    there = ("orders", "--socket", str(path))
    async with running.sidecar(folder, *there, "--socket-mode", "600") as first:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(AssertionError, match="socket_in_use"):
            async with running.sidecar(folder, *there):
                pass
        assert (await asyncio.to_thread(ask, path, "/healthz")).status == 200
        first.process.kill()
        first.process.wait()
    assert path.exists()
    async with running.sidecar(folder, *there) as second:
        assert (await asyncio.to_thread(ask, path, "/healthz")).status == 200
        assert await asyncio.to_thread(second.end) == 0
    assert not path.exists()


async def test_the_stale_answer_503_and_stay_ready(host: Host) -> None:
    """Last: the bus is away for the length of a lease."""
    token = await host.token()
    host.stack.nats.pause()
    try:
        deadline = time.monotonic() + 8
        while (answer := await ask_with(host, token, "")).status == 200:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert (await ask_with(host, "nonsense", "")).status == 503
        assert (await asyncio.to_thread(ask, host.socket, "/readyz")).status == 200
    finally:
        host.stack.nats.resume()
