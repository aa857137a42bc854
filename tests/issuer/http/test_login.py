"""Logging in: who may gets tokens, and nobody else learns anything."""

import pytest

from tests.issuer.http.conftest import Issuer, headers_of
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
    await issuer.users.create("carol", "correct horse")
    for _ in range(issuer.config.login_failures):
        assert await issuer.users.authenticate("carol", "wrong") is None
    answers = []
    for username, password in [
        ("alice", "wrong"),
        ("nobody", "correct horse"),
        ("bob", "correct horse"),
        ("carol", "correct horse"),
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
