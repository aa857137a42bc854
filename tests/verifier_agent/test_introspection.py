"""Asking the issuer, over HTTP on loopback: what counts as a yes, how often, and what leaks."""

from __future__ import annotations

import asyncio
import gc
import gzip
import logging
import threading
import traceback
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from tests.support.endpoint import ACTIVE, INACTIVE, Asked, Endpoint, Script, Write, says, served
from tocsin_schemas.errors import AgentStale, ConfigurationError, TocsinError, TokenRejected
from tocsin_verifier_agent import VerifierAgent, introspection, issuer_http
from tocsin_verifier_agent.client_tls import ClientTls
from tocsin_verifier_agent.introspection import IntrospectionClient, Introspector
from tocsin_verifier_agent.meters import Meters
from tocsin_verifier_agent.testing import LocalIssuer

CLIENT_ID = "orders & co:1"
SECRET = "s3cret+with/odd%signs:and=more"


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with served() as endpoint:
        yield endpoint


def client(url: str) -> IntrospectionClient:
    return IntrospectionClient(url=url, client_id=CLIENT_ID, client_secret=SECRET)


@pytest.fixture
async def asking(endpoint: Endpoint) -> AsyncIterator[Introspector]:
    introspector = Introspector(client(endpoint.url), Meters())
    await introspector.start()
    yield introspector
    await introspector.stop()


@pytest.fixture
def issuer() -> LocalIssuer:
    return LocalIssuer()


@pytest.fixture
async def agent(issuer: LocalIssuer, endpoint: Endpoint) -> AsyncIterator[VerifierAgent]:
    """Stale, and to ask the issuer."""
    agent = issuer.new_agent(on_stale="introspect", introspection=client(endpoint.url))
    async with agent:
        issuer.go_stale()
        yield agent


async def code(agent: VerifierAgent, token: str) -> str:
    try:
        verified = await agent.authenticate(token)
    except TokenRejected as rejected:
        return rejected.code
    except AgentStale as stale:
        return f"503 {stale.code}"
    return f"accepted {verified.unproven}".strip()


async def asked(introspector: Introspector, token: str) -> str:
    try:
        await introspector.ask(token)
    except TocsinError as error:
        return error.code
    return "active"


def counted(introspector: Introspector) -> dict[str, int]:
    return dict(introspector._meters.snapshot()["introspected"])


# --- the answer ---------------------------------------------------------------------------------


async def test_the_question(issuer: LocalIssuer, agent: VerifierAgent, endpoint: Endpoint) -> None:
    token = issuer.mint()
    verified = await agent.authenticate(token)
    assert (verified.subject, verified.unproven) == ("alice", "introspected")
    assert verified.valid_until <= issuer.clock.wall()
    [question] = endpoint.asked
    assert (question.method, question.path) == ("POST", "/oauth/introspect")
    assert question.form == {"token": [token], "token_type_hint": ["access_token"]}
    assert question.credentials == (CLIENT_ID, SECRET)
    assert question.headers["accept-encoding"] == "identity"


async def test_an_inactive_token_is_rejected(
    issuer: LocalIssuer, agent: VerifierAgent, endpoint: Endpoint
) -> None:
    endpoint.script = INACTIVE
    assert await code(agent, issuer.mint()) == "inactive"


async def _drip(_: Asked, write: Write) -> None:
    await write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        await write(b" ")
        await asyncio.sleep(0.05)


async def _never(_: Asked, write: Write) -> None:
    await asyncio.sleep(60)


async def _hang_up(_: Asked, write: Write) -> None:
    await write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")


async def _endless(_: Asked, write: Write) -> None:
    await write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await write(b"4000\r\n" + b" " * 0x4000 + b"\r\n")


_YES = {"active": True}
NO_ANSWERS: dict[str, Script] = {
    "500": says(_YES, "500 Internal Server Error"),
    "401": says(_YES, "401 Unauthorized"),
    "204": says(b"", "204 No Content"),
    "206": says(_YES, "206 Partial Content"),
    "empty": says(b""),
    "garbage": says(b"\xff\xfe<html>"),
    "an array": says(b'[{"active":true}]'),
    "no member": says({"Active": True}),
    "a string": says({"active": "true"}),
    "a number": says({"active": 1}),
    "null": says({"active": None}),
    "twice": says(b'{"active":false,"active":true}'),
    "nested": says(b'{"a":' + b"[" * 20_000 + b"]" * 20_000 + b',"active":true}'),
    "large": says({"active": True, "padding": "x" * issuer_http.MAX_ANSWER_BYTES}),
    "compressed": says(gzip.compress(b'{"active":true}'), Content_Encoding="gzip"),
    "endless": _endless,
    "slow": _drip,
    "silent": _never,
    "cut off": _hang_up,
}


@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_what_is_no_answer_is_no_yes(
    asking: Introspector, endpoint: Endpoint, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in {"slow", "silent"}:
        monkeypatch.setattr(introspection, "TIMEOUT_S", 0.3)
    endpoint.script = NO_ANSWERS[name]
    async with asyncio.timeout(10):
        assert await asked(asking, "a-token") == "introspection_failed"
    assert counted(asking) == {"failed": 1}


async def test_a_redirect_is_not_followed(asking: Introspector, endpoint: Endpoint) -> None:
    async with served() as elsewhere:
        for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent"):
            endpoint.script = says(b"", status, Location=elsewhere.url)
            assert await asked(asking, f"token {status}") == "introspection_failed"
        assert elsewhere.asked == []
    assert len(endpoint.asked) == 4


async def test_nobody_is_there() -> None:
    async with served() as endpoint:
        pass
    introspector = Introspector(client(endpoint.url), Meters())
    assert await asked(introspector, "a-token") == "introspection_stopped"
    await introspector.start()
    assert await asked(introspector, "a-token") == "introspection_failed"
    await introspector.stop()
    assert await asked(introspector, "a-token") == "introspection_stopped"


# --- how often ----------------------------------------------------------------------------------


class Gate:
    """Answers once it is open."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.opened = asyncio.Event()

    async def __call__(self, asked: Asked, write: Write) -> None:
        await self.opened.wait()
        await self._script(asked, write)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_questions_about_one_token_become_one_request(
    issuer: LocalIssuer, agent: VerifierAgent, endpoint: Endpoint
) -> None:
    """From tasks and from threads."""
    endpoint.script = gate = Gate(ACTIVE)
    token = issuer.mint()

    def blocking() -> str:
        return agent.authenticate_blocking(token).unproven

    tasks = [asyncio.create_task(code(agent, token)) for _ in range(46)]
    threads = [asyncio.create_task(asyncio.to_thread(blocking)) for _ in range(4)]
    introspector = agent._introspector
    assert introspector is not None
    await until(lambda: sum(map(len, introspector._waiting.values())) == 50)
    gate.opened.set()
    assert set(await asyncio.gather(*tasks)) == {"accepted introspected"}
    assert set(await asyncio.gather(*threads)) == {"introspected"}
    assert len(endpoint.asked) == 1
    assert agent.meters.snapshot()["introspected"] == {"active": 50}


async def test_no_answer_is_kept(
    issuer: LocalIssuer, agent: VerifierAgent, endpoint: Endpoint
) -> None:
    token = issuer.mint()
    assert [await code(agent, token) for _ in range(3)] == ["accepted introspected"] * 3
    endpoint.script = INACTIVE
    assert await code(agent, token) == "inactive"
    endpoint.script = ACTIVE
    assert await code(agent, token) == "accepted introspected"
    assert len(endpoint.asked) == 5


async def test_there_is_a_bound_on_what_is_under_way(
    asking: Introspector, endpoint: Endpoint
) -> None:
    endpoint.script = gate = Gate(ACTIVE)
    most = introspection.MAX_UNDER_WAY
    tasks = [asyncio.create_task(asked(asking, f"token-{n}")) for n in range(most)]
    await until(lambda: len(endpoint.asked) == most)
    assert await asked(asking, "one too many") == "introspection_busy"
    joined = asyncio.create_task(asked(asking, "token-0"))
    await asyncio.sleep(0.02)
    gate.opened.set()
    assert set(await asyncio.gather(*tasks, joined)) == {"active"}
    assert await asked(asking, "one too many") == "active"
    assert len(endpoint.asked) == most + 1
    assert counted(asking) == {"active": most + 2, "busy": 1}


async def test_one_who_gives_up_takes_nobody_along(
    asking: Introspector, endpoint: Endpoint
) -> None:
    endpoint.script = gate = Gate(ACTIVE)
    first, second = (asyncio.create_task(asked(asking, "a-token")) for _ in range(2))
    await until(lambda: endpoint.asked)
    first.cancel()
    await asyncio.sleep(0)
    gate.opened.set()
    assert await second == "active"
    assert first.cancelled()


# --- what is asked at all -----------------------------------------------------------------------


async def test_only_what_might_be_good_is_sent(
    issuer: LocalIssuer, agent: VerifierAgent, endpoint: Endpoint
) -> None:
    revoked, good = issuer.mint(), issuer.mint()
    issuer.come_back()
    issuer.revoke_token(revoked)
    issuer.go_stale()
    found = [
        await code(agent, token)
        for token in (revoked, good[:-8] + "AAAAAAAA", LocalIssuer().mint(), "nonsense")
    ]
    assert found == ["token_revoked", "signature", "503 lease_lapsed", "segments"]
    assert agent.meters.snapshot()["rejected"] == {
        "token_revoked": 1,
        "signature": 1,
        "segments": 1,
    }
    assert endpoint.asked == []


async def test_a_rule_that_comes_while_the_issuer_is_asked_counts(
    issuer: LocalIssuer, agent: VerifierAgent, endpoint: Endpoint
) -> None:
    endpoint.script = gate = Gate(ACTIVE)
    token = issuer.mint()
    asking = asyncio.create_task(code(agent, token))
    await until(lambda: endpoint.asked)
    issuer.come_back()
    issuer.revoke_token(token)
    gate.opened.set()
    assert await asking == "token_revoked"


async def test_who_is_not_asked(
    issuer: LocalIssuer, agent: VerifierAgent, endpoint: Endpoint
) -> None:
    token = issuer.mint()
    with pytest.raises(AgentStale):
        agent.verify(token)
    with pytest.raises(AgentStale):
        await agent.authenticate(token, max_staleness=15)
    with pytest.raises(AgentStale):
        await agent.authenticate(token, on_stale="reject")
    assert isinstance(await agent.until_refused(token), AgentStale)
    issuer.come_back()
    observing = issuer.new_agent(
        on_stale="introspect", observe=True, introspection=client(endpoint.url)
    )
    issuer.go_stale()
    async with observing:
        assert (await observing.authenticate(token)).would_deny == "stale"
    issuer.come_back()
    assert await code(agent, token) == "accepted"
    assert endpoint.asked == []


async def test_a_route_may_ask_though_it_wants_a_fresh_proof(
    issuer: LocalIssuer, agent: VerifierAgent, endpoint: Endpoint
) -> None:
    verified = await agent.authenticate(issuer.mint(), max_staleness=15, on_stale="introspect")
    assert verified.unproven == "introspected"
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/introspect",
        "http://10.0.0.1/introspect",
        "http://127.0.0.1.example/introspect",
        "http://127.0.0.1@issuer.example/introspect",
        "http://issuer.example\\@127.0.0.1/introspect",
        "http://user:hunter2@127.0.0.1/introspect",
        "https://user:hunter2@issuer.example/introspect",
        "http://0.0.0.0/introspect",
        "http://[::ffff:10.0.0.1]/introspect",
        "http:///introspect",
        "https:///introspect",
        "https://issuer.example:99999/",
        "https://issuer.example:0/",
        "https://issuer.example/#fragment",
        "https://[::1/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "//127.0.0.1/",
        "127.0.0.1",
        "https://issuer.example/a b",
        "https://issuer.example/\n",
        "https://issu\N{CYRILLIC SMALL LETTER IE}r.example/",
        "",
    ],
)
def test_a_token_is_not_sent_just_anywhere(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        client(url)
    assert caught.value.code == "introspection_url"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://issuer.example/oauth/introspect",
        "https://issuer.example:8443/oauth/introspect?realm=a",
        "http://127.0.0.1:8081/oauth/introspect",
        "http://[::1]:8081/",
        "http://localhost/",
        "HTTP://LOCALHOST/",
    ],
)
def test_where_a_token_may_be_sent(url: str) -> None:
    assert client(url).url == url


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
def test_a_ca_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    ca = tmp_path / "ca.pem"
    if content is not None:
        ca.write_bytes(content)
    wrong = IntrospectionClient(
        url="https://issuer.example/", client_id="a", client_secret=SECRET, tls=ClientTls(ca)
    )
    with pytest.raises(ConfigurationError) as caught:
        Introspector(wrong, Meters())
    assert caught.value.code == "ca_unusable"
    assert "\n" not in str(caught.value)


# --- what leaks ---------------------------------------------------------------------------------


async def test_neither_token_nor_secret_is_told(
    issuer: LocalIssuer,
    agent: VerifierAgent,
    endpoint: Endpoint,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    token = issuer.mint()
    told = [repr(agent.config), repr(agent.config.introspection), repr(agent.describe())]
    for script in (ACTIVE, INACTIVE, says(b"", "500 Oh"), says(b"garbage"), _hang_up):
        endpoint.script = script
        try:
            await agent.authenticate(token)
        except TocsinError as error:
            told += [repr(error), "".join(traceback.format_exception(error))]
    told += [caplog.text, *(repr(record.args) for record in caplog.records)]
    text = "\n".join(told)
    basic = b64encode(f"{quote_plus(CLIENT_ID)}:{quote_plus(SECRET)}".encode()).decode()
    assert len(endpoint.asked) == 5
    assert endpoint.asked[0].headers["authorization"] == f"Basic {basic}"
    for secret in (token, token.split(".")[1], SECRET, quote_plus(SECRET), basic):
        assert secret not in text


# --- threads, loops and ends --------------------------------------------------------------------


async def test_on_the_asking_loops_own_thread_it_does_not_wait_for_itself(
    issuer: LocalIssuer, agent: VerifierAgent, endpoint: Endpoint
) -> None:
    with pytest.raises(AgentStale) as caught:
        agent.authenticate_blocking(issuer.mint())
    assert caught.value.code == "introspection_blocks"
    assert endpoint.asked == []


async def test_from_other_threads_and_loops(
    issuer: LocalIssuer, agent: VerifierAgent, endpoint: Endpoint
) -> None:
    token = issuer.mint()

    def in_a_loop_of_its_own() -> str:
        return asyncio.run(code(agent, token))

    assert await asyncio.to_thread(in_a_loop_of_its_own) == "accepted introspected"
    verified = await asyncio.to_thread(agent.authenticate_blocking, token)
    assert verified.unproven == "introspected"
    endpoint.script = INACTIVE
    with pytest.raises(TokenRejected):
        await asyncio.to_thread(agent.authenticate_blocking, token)


async def test_whoever_waits_when_it_stops_gets_an_answer(
    issuer: LocalIssuer, endpoint: Endpoint
) -> None:
    endpoint.script = _never
    introspector = Introspector(client(endpoint.url), Meters())
    await introspector.start()
    task = asyncio.create_task(asked(introspector, "a-token"))

    def blocking() -> str:
        try:
            introspector.ask_blocking("a-token")
        except TocsinError as error:
            return error.code
        return "active"

    thread = asyncio.create_task(asyncio.to_thread(blocking))
    await until(lambda: len(introspector._waiting.get("a-token", ())) == 2 and endpoint.asked)
    await introspector.stop()
    assert (await task, await thread) == ("introspection_stopped", "introspection_stopped")
    await introspector.start()
    endpoint.script = ACTIVE
    assert await asked(introspector, "a-token") == "active"
    await introspector.stop()


async def test_a_loop_that_was_closed_under_it(endpoint: Endpoint) -> None:
    introspector = Introspector(client(endpoint.url), Meters())
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(introspector.start()))
    thread.start()
    await asyncio.to_thread(thread.join)
    loop.close()
    assert await asked(introspector, "a-token") == "introspection_stopped"


def all_errors() -> list[TocsinError]:
    return [one for one in gc.get_objects() if isinstance(one, TocsinError)]


async def test_failed_questions_leave_no_garbage(asking: Introspector, endpoint: Endpoint) -> None:
    """Refusals that refer to themselves would wait for the garbage collector."""
    endpoint.script = gate = Gate(INACTIVE)

    async def flood(prefix: str) -> None:
        tasks = [asyncio.create_task(asked(asking, f"{prefix}{n % 5}")) for n in range(200)]
        await asyncio.sleep(0.05)
        gate.opened.set()
        assert set(await asyncio.gather(*tasks)) == {"inactive"}

    await flood("a")
    gc.collect()
    before = all_errors()  # other tests' replicas keep some
    gc.disable()
    try:
        await flood("b")
        known = set(map(id, before))
        assert [one for one in all_errors() if id(one) not in known] == []
    finally:
        gc.enable()
