"""What an issuer may answer, over HTTP and over gRPC, and worse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio  # type: ignore[import-untyped]
import pytest

from tests.support.endpoint import Asked, Endpoint, Script, Write, says, served
from tests.support.keys import private_pem, signer
from tocsin_schemas.auth_v1 import CODE_KEY, ERROR_KEY, RETRY_AFTER_KEY
from tocsin_schemas.auth_v1.auth_pb2 import ExchangeTokenRequest, ExchangeTokenResponse
from tocsin_schemas.auth_v1.auth_pb2_grpc import AuthServicer, add_AuthServicer_to_server
from tocsin_schemas.client_assertion import ASSERTION_TYPE
from tocsin_schemas.errors import (
    ConfigurationError,
    ExchangeRefused,
    ExchangeUnavailable,
    TocsinError,
)
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE, GRANT_TYPE, JWT_TYPE
from tocsin_verifier_agent.client_assertion import ClientAssertions
from tocsin_verifier_agent.client_tls import ClientTls
from tocsin_verifier_agent.exchange.grpc import GrpcExchange
from tocsin_verifier_agent.exchange.http import HttpExchange
from tocsin_verifier_agent.exchange.transport import ExchangeTransport, Question
from tocsin_verifier_agent.issuer_access import IssuerAccess
from tocsin_verifier_agent.issuer_http import MAX_ANSWER_BYTES

CLIENT_ID, SECRET = "orders & co:1", "s3cret+with/odd%signs:and=more"
GOOD: dict[str, Any] = {
    "access_token": "a.b.c",
    "issued_token_type": ACCESS_TOKEN_TYPE,
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "inventory:read",
}
QUESTION = Question("the.callers.token", "inventory", ("inventory:read",))


def access(url: str) -> IssuerAccess:
    return IssuerAccess(url=url, client_id=CLIENT_ID, client_secret=SECRET)


async def outcome(transport: ExchangeTransport, question: Question = QUESTION) -> str:
    await transport.open()
    try:
        exchanged = await transport.exchange(question)
    except TocsinError as error:
        for secret in (SECRET, question.subject_token, "a.b.c"):
            assert secret not in f"{error!r} {error}"
        if isinstance(error, ExchangeRefused):
            return f"{error.error} {error.code}"
        assert isinstance(error, ExchangeUnavailable)
        return f"{error.code} {error.retry_after}"
    finally:
        await transport.close()
    return f"{exchanged.token} {exchanged.expires_in} {sorted(exchanged.scopes)}"


# --- over HTTP ----------------------------------------------------------------------------------


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with served() as endpoint:
        yield endpoint


async def test_the_form(endpoint: Endpoint) -> None:
    endpoint.script = says(GOOD)
    assert await outcome(HttpExchange(access(endpoint.url))) == "a.b.c 300 ['inventory:read']"
    [asked] = endpoint.asked
    assert asked.credentials == (CLIENT_ID, SECRET)
    assert asked.form == {
        "grant_type": [GRANT_TYPE],
        "subject_token": ["the.callers.token"],
        "subject_token_type": [ACCESS_TOKEN_TYPE],
        "audience": ["inventory"],
        "scope": ["inventory:read"],
    }


async def test_an_assertion_in_place_of_the_secret(endpoint: Endpoint, tmp_path: Path) -> None:
    """RFC 7521 section 4.2: nothing else says who asks, and no two are the same."""
    endpoint.script = says(GOOD)
    key = tmp_path / "client.pem"
    key.write_bytes(private_pem(signer("ES256")))
    key.chmod(0o600)
    assertions = ClientAssertions(key, client_id=CLIENT_ID, issuer="https://i.example")
    way = IssuerAccess(url=endpoint.url, client_id=CLIENT_ID, assertions=assertions)
    for _ in range(2):
        assert await outcome(HttpExchange(way)) == "a.b.c 300 ['inventory:read']"
    first, second = endpoint.asked
    assert "authorization" not in first.headers
    assert first.form["client_assertion_type"] == [ASSERTION_TYPE]
    assert first.form["client_id"] == [CLIENT_ID]
    assert first.form["client_assertion"] != second.form["client_assertion"]
    assert first.form["client_assertion"][0] not in repr(way)
    with pytest.raises(ConfigurationError) as caught:
        replace(way, client_secret=SECRET)
    assert caught.value.code == "exchange_client"


async def test_a_scope_that_is_not_named_is_the_one_asked_for(endpoint: Endpoint) -> None:
    """RFC 8693 section 2.2.1."""
    endpoint.script = says({name: value for name, value in GOOD.items() if name != "scope"})
    assert await outcome(HttpExchange(access(endpoint.url))) == "a.b.c 300 ['inventory:read']"
    anything = Question("the.callers.token", "inventory", None)
    assert await outcome(HttpExchange(access(endpoint.url)), anything) == "a.b.c 300 []"
    assert "scope" not in endpoint.asked[1].form


async def _hang_up(_: Asked, write: Write) -> None:
    await write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")


def says_no(error: object, status: str = "400 Bad Request", **more: object) -> Script:
    return says({"error": error, "error_description": "a.b.c", **more}, status)


HTTP_ANSWERS: dict[str, tuple[Script, str]] = {
    "refused": (says_no("invalid_target"), "invalid_target invalid_target"),
    "with a code": (
        says_no("invalid_request", code="subject_token_invalid"),
        "invalid_request subject_token_invalid",
    ),
    "no client": (says_no("invalid_client", "401 Unauthorized"), "invalid_client invalid_client"),
    "a code that is no word": (
        says_no("invalid_scope", code="a.b.c"),
        "invalid_scope invalid_scope",
    ),
    "an error that is no word": (says_no("a.b.c"), "exchange_answer 1"),
    "an error that is no text": (says_no(["invalid_target"]), "exchange_answer 1"),
    "no error": (says(GOOD, "400 Bad Request"), "exchange_answer 1"),
    "later": (says({}, "503 Service Unavailable", Retry_After="7"), "exchange_unavailable 7"),
    "much later": (
        says({}, "503 Service Unavailable", Retry_After="9999"),
        "exchange_unavailable 60",
    ),
    "some day": (says({}, "429 Too Many Requests", Retry_After="Mon"), "exchange_unavailable 1"),
    "a defect": (says({}, "500 Internal Server Error"), "exchange_failed 1"),
    "elsewhere": (says(GOOD, "307 Temporary Redirect", Location="/b"), "exchange_failed 1"),
    "hung up": (_hang_up, "exchange_failed 1"),
    "large": (says({**GOOD, "x": "x" * MAX_ANSWER_BYTES}), "exchange_failed 1"),
    "garbage": (says(b"\xff\xfe<html>"), "exchange_answer 1"),
    "twice": (says(b'{"access_token":"a.b.c","access_token":"d"}'), "exchange_answer 1"),
    "no token": (says({**GOOD, "access_token": ""}), "exchange_answer 1"),
    "a long token": (says({**GOOD, "access_token": "a" * 8193}), "exchange_answer 1"),
    "no life": (says({**GOOD, "expires_in": 0}), "exchange_answer 1"),
    "a bool": (says({**GOOD, "expires_in": True}), "exchange_answer 1"),
    "half a second": (says({**GOOD, "expires_in": 0.5}), "exchange_answer 1"),
    "for ever": (says({**GOOD, "expires_in": 10**9}), "exchange_answer 1"),
    "of another type": (says({**GOOD, "issued_token_type": JWT_TYPE}), "exchange_answer 1"),
    "no bearer": (says({**GOOD, "token_type": "N_A"}), "exchange_answer 1"),
    "a scope of numbers": (says({**GOOD, "scope": 1}), "exchange_answer 1"),
}


@pytest.mark.parametrize(("script", "expected"), HTTP_ANSWERS.values(), ids=HTTP_ANSWERS)
async def test_answers_over_http(endpoint: Endpoint, script: Script, expected: str) -> None:
    endpoint.script = script
    assert await outcome(HttpExchange(access(endpoint.url))) == expected
    assert len(endpoint.asked) == 1


async def test_nobody_there() -> None:
    url = "http://127.0.0.1:1"
    assert await outcome(HttpExchange(access(url))) == "exchange_failed 1"
    assert await outcome(GrpcExchange(access(url))) == "exchange_failed 1"


# --- over gRPC ----------------------------------------------------------------------------------

Answer = Callable[[grpc.aio.ServicerContext], Any]


class Scripted(AuthServicer):
    """Answers what it is told to."""

    def __init__(self) -> None:
        self.members = dict(GOOD)
        self.status: grpc.StatusCode | None = None
        self.trailing: tuple[tuple[str, str], ...] = ()
        self.asked: list[ExchangeTokenRequest] = []

    async def ExchangeToken(
        self, request: ExchangeTokenRequest, context: grpc.aio.ServicerContext
    ) -> ExchangeTokenResponse:
        self.asked.append(request)
        if self.status is not None:
            await context.abort(self.status, "a.b.c", self.trailing)
        return ExchangeTokenResponse(**self.members)


@pytest.fixture
async def scripted() -> AsyncIterator[tuple[Scripted, str]]:
    servicer, server = Scripted(), grpc.aio.server()
    add_AuthServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield servicer, f"http://127.0.0.1:{port}"
    await server.stop(None)


async def test_the_message(scripted: tuple[Scripted, str]) -> None:
    servicer, url = scripted
    assert await outcome(GrpcExchange(access(url))) == "a.b.c 300 ['inventory:read']"
    [request] = servicer.asked
    assert request == ExchangeTokenRequest(
        subject_token="the.callers.token",
        subject_token_type=ACCESS_TOKEN_TYPE,
        audience=["inventory"],
        scope="inventory:read",
        client_id=CLIENT_ID,
        client_secret=SECRET,
    )


def trailing(error: str, code: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return ((ERROR_KEY, error), (CODE_KEY, code), *more)


@pytest.mark.parametrize(
    ("status", "metadata", "expected"),
    [
        ("PERMISSION_DENIED", trailing("invalid_target", "x"), "invalid_target x"),
        ("INVALID_ARGUMENT", trailing("invalid_request", "y"), "invalid_request y"),
        ("UNAUTHENTICATED", trailing("invalid_client", "z"), "invalid_client z"),
        ("PERMISSION_DENIED", trailing("a.b.c", "x"), "exchange_answer 1"),
        ("PERMISSION_DENIED", (), "exchange_failed 1"),
        (
            "UNAVAILABLE",
            trailing("temporarily_unavailable", "agent_stale", (RETRY_AFTER_KEY, "7")),
            "exchange_unavailable 7",
        ),
        ("UNAVAILABLE", (), "exchange_failed 1"),
        ("RESOURCE_EXHAUSTED", (), "exchange_failed 1"),
        ("UNIMPLEMENTED", (), "exchange_failed 1"),
    ],
)
async def test_statuses(
    scripted: tuple[Scripted, str], status: str, metadata: Any, expected: str
) -> None:
    servicer, url = scripted
    servicer.status, servicer.trailing = grpc.StatusCode[status], metadata
    assert await outcome(GrpcExchange(access(url))) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"access_token": ""},
        {"expires_in": 0},
        {"token_type": "N_A"},
        {"issued_token_type": JWT_TYPE},
    ],
)
async def test_answers_over_grpc(scripted: tuple[Scripted, str], wrong: dict[str, Any]) -> None:
    servicer, url = scripted
    servicer.members |= wrong
    assert await outcome(GrpcExchange(access(url))) == "exchange_answer 1"


async def test_a_large_message(scripted: tuple[Scripted, str]) -> None:
    servicer, url = scripted
    servicer.members["scope"] = "x" * MAX_ANSWER_BYTES
    assert await outcome(GrpcExchange(access(url))) == "exchange_failed 1"


# --- whom to ask, and as whom -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"url": "http://issuer.example"}, "exchange_url"),
        ({"url": "https://a:b@issuer.example"}, "exchange_url"),
        ({"client_secret": None}, "exchange_client"),
    ],
)
def test_wrong_access(changes: dict[str, Any], code: str) -> None:
    members: dict[str, Any] = {
        "url": "https://i.example",
        "client_id": "a",
        "client_secret": SECRET,
    }
    assert SECRET not in repr(IssuerAccess(**members))
    with pytest.raises(ConfigurationError) as caught:
        IssuerAccess(**{**members, **changes})
    assert caught.value.code == code


@pytest.mark.parametrize("make", [HttpExchange, GrpcExchange])
def test_wrong_certificates(make: Callable[[IssuerAccess], object], tmp_path: Path) -> None:
    bad, none = tmp_path / "bad.pem", tmp_path / "none.pem"
    bad.write_text("nothing")

    def code(**files: Path) -> str:
        with pytest.raises(ConfigurationError) as caught:
            make(
                IssuerAccess(
                    url="https://i.example",
                    client_id="a",
                    client_secret=SECRET,
                    tls=ClientTls(**files),
                )
            )
        return caught.value.code

    assert code(ca=bad) == code(ca=none) == "ca_unusable"
    for files in ({"certificate": bad}, {"certificate": bad, "key": none}, {"key": bad}):
        assert code(**files) == "client_certificate_unusable"
