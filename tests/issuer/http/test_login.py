"""Logging in: who may gets tokens, and nobody else learns anything."""

from ipaddress import ip_network

import httpx
import pytest
from redis.asyncio import Redis

from tests.issuer.conftest import CountingHasher
from tests.issuer.http.conftest import CONFIG, Issuer, bearer, headers_of
from tocsin_issuer.store import names
from tocsin_schemas.errors import RequestRejected


async def test_a_login_opens_a_session(issuer: Issuer) -> None:
    sub = await issuer.alice(perms=("orders:read",))
    answer = await issuer.public.post(
        "/v1/login",
        json={"username": "Alice", "password": "correct horse", "device": "phone"},
        headers={"User-Agent": "Browser/1"},
    )
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    members = answer.json()
    assert set(members) == {
        "access_token",
        "token_type",
        "expires_in",
        "refresh_token",
        "session_id",
    }
    assert (members["token_type"], members["expires_in"]) == ("Bearer", 600)
    claims = issuer.verifier.verify(members["access_token"]).claims
    assert (claims["sub"], claims["sid"]) == (sub, members["session_id"])
    assert (claims["role"], claims["perms"]) == ("viewer", ["orders:read"])
    assert claims["client_id"] == "first-party"


async def test_every_refusal_is_the_same_and_costs_a_hash(issuer: Issuer) -> None:
    await issuer.alice()
    disabled = await issuer.users.create("bob", "correct horse")
    await issuer.users.set_disabled(disabled, True)
    answers = []
    for username, password in [
        ("alice", "wrong"),
        ("nobody", "correct horse"),
        ("bob", "correct horse"),
    ]:
        before = issuer.hasher.verified
        body = {"username": username, "password": password}
        answers.append(await issuer.public.post("/v1/login", json=body))
        assert issuer.hasher.verified == before + 1, username
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert len({str(sorted(headers_of(answer).items())) for answer in answers}) == 1
    assert answers[0].json() == {
        "error": "invalid_grant",
        "error_description": "user name or password are not valid",
        "code": "invalid_grant",
    }


async def log_in(issuer: Issuer, name: str, password: str, **headers: str) -> httpx.Response:
    body = {"username": name, "password": password}
    return await issuer.public.post("/v1/login", json=body, headers=headers)


async def test_too_many_failures_are_answered_alike_for_everybody(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody's password is looked at then, so that no answer says whose name it is."""
    await issuer.alice()
    await issuer.users.set_disabled(await issuer.users.create("bob", "correct horse"), True)
    answers = []
    for name in ("alice", "ALICE", "nobody", "bob"):
        for _ in range(issuer.config.login_failures):
            answer = await log_in(issuer, name, "wrong")
            assert answer.status_code == (429 if name == "ALICE" else 401)
        before = issuer.hasher.verified
        answers.append(await log_in(issuer, name, "correct horse"))
        assert issuer.hasher.verified == before
    assert {answer.status_code for answer in answers} == {429}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].json()["code"] == "too_many_attempts"
    for answer in answers:
        assert issuer.config.login_lock_s - 5 < int(answer.headers["Retry-After"]) <= 60


async def test_the_owner_gets_in_while_others_are_kept_out(
    redis: Redis, hasher: CountingHasher
) -> None:
    """Behind a proxy that is trusted; the one header that it writes says who asks."""
    proxies = {"trusted_proxies": (ip_network("127.0.0.1/32"),), "login_account_failures": 20}
    issuer = Issuer(redis, hasher, CONFIG.model_copy(update=proxies))
    await issuer.alice()
    home = {"X-Forwarded-For": "192.0.2.1"}
    answer = await log_in(issuer, "alice", "correct horse", **home)
    assert answer.status_code == 200
    listed = await issuer.public.get("/v1/sessions", headers=bearer(answer.json()["access_token"]))
    assert listed.json()["sessions"][0]["address"] == "192.0.2.1"
    for i in range(20):
        answer = await log_in(issuer, "alice", "wrong", **{"X-Forwarded-For": f"198.51.100.{i}"})
        assert answer.status_code == 401
    for forged in ("Forwarded", "X-Real-IP", "Client-IP"):
        headers = {"X-Forwarded-For": "198.51.100.99", forged: "for=192.0.2.1"}
        assert (await log_in(issuer, "alice", "correct horse", **headers)).status_code == 429
    assert (await log_in(issuer, "alice", "correct horse", **home)).status_code == 200
    await issuer.aclose()


async def test_nobody_is_believed_where_no_proxy_is_trusted(issuer: Issuer) -> None:
    await issuer.alice()
    for i in range(issuer.config.login_failures):
        await log_in(issuer, "alice", "wrong", **{"X-Forwarded-For": f"198.51.100.{i}"})
    answer = await log_in(issuer, "alice", "correct horse", **{"X-Forwarded-For": "192.0.2.1"})
    assert answer.status_code == 429


async def test_disabled_in_the_very_moment_of_the_login(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the password and the session; the script that opens it looks again."""
    sub = await issuer.alice()
    authenticate = issuer.users.authenticate

    async def then_disabled(username: str, password: str) -> object:
        user = await authenticate(username, password)
        await issuer.users.set_disabled(sub, True)
        return user

    monkeypatch.setattr(issuer.users, "authenticate", then_disabled)
    body = {"username": "alice", "password": "correct horse"}
    answer = await issuer.public.post("/v1/login", json=body)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_grant")


async def test_too_many_at_once_are_asked_to_come_again(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(username: str, password: str) -> None:
        raise RequestRejected("busy", "too many logins at once", status=503)

    monkeypatch.setattr(issuer.users, "authenticate", busy)
    answer = await issuer.public.post("/v1/login", json={"username": "a", "password": "b"})
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert answer.headers["Retry-After"] == "1"
    assert await issuer.redis.keys(names.THROTTLE + "*") == [], "that was no failure of theirs"
