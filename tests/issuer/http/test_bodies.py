"""Whatever is sent gets a 4xx with a stable code, and none of it comes back."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from redis.asyncio import Redis

from tests.issuer.conftest import CountingHasher
from tests.issuer.http.conftest import CONFIG, Issuer

MARK = "s3cr3t-m4rk"
PATH = "no-such-path"  # the test's own client logs it
JSON = {"Content-Type": "application/json"}


def login_with(**fields: object) -> bytes:
    return json.dumps({"username": "alice", "password": MARK, **fields}).encode()


BODIES = {
    "empty": (b"", 400, "json_malformed"),
    "no JSON": (MARK.encode(), 400, "json_malformed"),
    "cut off": (login_with()[:-1], 400, "json_malformed"),
    "an array": (b"[1]", 400, "json_malformed"),
    "null": (b"null", 400, "json_malformed"),
    "a name twice": (b'{"username":"a","username":"b","password":"x"}', 400, "json_malformed"),
    "UTF-16": (login_with().decode().encode("utf-16"), 400, "json_malformed"),
    "a BOM": (b"\xef\xbb\xbf" + login_with(), 400, "json_malformed"),
    "a lone surrogate": (b'{"username":"\\ud800","password":"x"}', 400, "json_malformed"),
    "bytes that are no text": (b'{"username":"\xff","password":"x"}', 400, "json_malformed"),
    "deep": (b'{"username":' + b"[" * 7000 + b"]" * 7000 + b"}", 400, "json_malformed"),
    "half as deep": (b'{"username":' + b"[" * 900 + b"]" * 900 + b"}", 400, None),
    "many digits": (b'{"username":"a","password":' + b"9" * 5000 + b"}", 400, "json_malformed"),
    "NaN": (b'{"username":"a","password":NaN}', 400, "json_malformed"),
    "an unknown field": (login_with(**{MARK: 1}), 400, "field_unknown"),
    "a missing field": (b'{"username":"a"}', 400, "field_missing"),
    "a number for a name": (login_with(username=7), 400, "field_invalid"),
    "a null": (login_with(username=None), 400, "field_invalid"),
    "an object for a name": (login_with(username={MARK: MARK}), 400, "field_invalid"),
    "an empty password": (login_with(password=""), 400, "field_invalid"),
    "a long password": (login_with(password=MARK * 100), 400, "field_invalid"),
    "a long device": (login_with(device=MARK * 10), 400, "field_invalid"),
    "too large": (login_with(device=MARK * 2000), 413, "body_too_large"),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_refused(
    issuer: Issuer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    body, status, code = BODIES[name]
    answer = await issuer.public.post("/v1/login", content=body, headers=JSON)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "error_description", "code"}
    assert answer.json()["error"] == "invalid_request"
    assert code is None or answer.json()["code"] == code
    assert MARK not in answer.text
    assert MARK not in caplog.text
    assert issuer.hasher.verified == 0


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json"]
)
async def test_a_content_type_that_is_refused(issuer: Issuer, kind: str) -> None:
    answer = await issuer.public.post(
        "/v1/login", content=login_with(), headers={"Content-Type": kind}
    )
    assert (answer.status_code, answer.json()["code"]) == (415, "content_type")


async def test_a_content_type_with_a_parameter(issuer: Issuer) -> None:
    await issuer.alice()
    answer = await issuer.public.post(
        "/v1/login",
        content=login_with(password="correct horse"),
        headers={"Content-Type": "Application/JSON; charset=utf-8"},
    )
    assert answer.status_code == 200


async def test_a_large_body_that_says_so_is_not_read(issuer: Issuer) -> None:
    sent = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal sent
        sent += 1
        yield b"{}"

    headers = {**JSON, "Content-Length": "1000000000"}
    answer = await issuer.public.post("/v1/login", content=parts(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert sent == 0


async def test_a_large_body_that_does_not_say_so(issuer: Issuer) -> None:
    sent = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1024
            yield b" " * 1024

    answer = await issuer.public.post("/v1/login", content=parts(), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert sent <= CONFIG.max_body_bytes + 2048, "the rest was not read"


async def test_a_body_that_never_ends(redis: Redis, hasher: CountingHasher) -> None:
    config = CONFIG.model_copy(update={"body_timeout_s": 0.1})
    issuer = Issuer(redis, hasher, config)

    async def parts() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)

    answer = await issuer.public.post("/v1/login", content=parts(), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (408, "body_timeout")
    await issuer.aclose()


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", f"/{PATH}", 404, "not_found"),
        ("GET", "/v1/login", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("GET", "/docs", 404, "not_found"),
        ("GET", "/redoc", 404, "not_found"),
        ("GET", "/admin/keys", 404, "not_found"),
        ("POST", "/admin/revocations", 404, "not_found"),
    ],
)
async def test_a_path_that_the_public_listener_does_not_have(
    issuer: Issuer, method: str, path: str, status: int, error: str
) -> None:
    answer = await issuer.public.request(method, path)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert PATH not in answer.text


async def test_a_store_that_is_away(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    """503 and nothing claimed, not 500; here it refuses writes because it is full."""
    await issuer.alice()
    await issuer.redis.config_set("maxmemory", 1)
    try:
        answer: httpx.Response = await issuer.public.post(
            "/v1/login", json={"username": "alice", "password": MARK}
        )
    finally:
        await issuer.redis.config_set("maxmemory", 0)
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert answer.json()["error"] == "temporarily_unavailable"
    assert answer.headers["Retry-After"] == "1"
    assert MARK not in caplog.text
