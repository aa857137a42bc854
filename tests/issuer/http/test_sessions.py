"""``/v1/sessions``, and what a login says of its device."""

import time
from typing import Any

import httpx
import pytest

from tests.issuer.http.conftest import SIGNER, Issuer, bearer, headers_of
from tests.issuer.store.helpers import events_in, only_event
from tocsin_issuer.store import names
from tocsin_schemas import jws
from tocsin_schemas.claims import ACCESS_TOKEN_TYP
from tocsin_schemas.events import SessionsRevoked

DEVICE = "d" * 43
PATH = "/v1/sessions"


async def listed(issuer: Issuer, tokens: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    answer = await issuer.public.get(PATH + query, headers=bearer(tokens["access_token"]))
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    sessions: list[dict[str, Any]] = answer.json()["sessions"]
    return sessions


async def remove(issuer: Issuer, tokens: dict[str, Any], what: str) -> httpx.Response:
    return await issuer.public.delete(PATH + what, headers=bearer(tokens["access_token"]))


async def test_a_user_sees_each_session(issuer: Issuer) -> None:
    await issuer.alice()
    phone = await issuer.login(device_name="Zoë's phone", device_id=DEVICE)
    laptop = await issuer.login()
    before = int(time.time())
    sessions = {one["id"]: one for one in await listed(issuer, phone)}
    assert set(sessions) == {phone["session_id"], laptop["session_id"]}
    here, there = sessions[phone["session_id"]], sessions[laptop["session_id"]]
    assert (here["device_name"], here["current"]) == ("Zoë's phone", True)
    assert (there["device_name"], there["current"]) == ("", False)
    assert here["address"] == "127.0.0.1"
    assert 0 <= before - here["created"] <= 3
    assert here["last_seen"] == here["created"]
    assert set(here) == {"id", "device_name", "created", "last_seen", "address", "current"}


async def test_pages(issuer: Issuer) -> None:
    await issuer.alice()
    logins = [await issuer.login() for _ in range(5)]
    header = bearer(logins[0]["access_token"])
    seen: list[str] = []
    query: dict[str, str] = {"limit": "2"}
    answer: dict[str, Any] = {}
    for _ in range(3):
        answer = (await issuer.public.get(PATH, params=query, headers=header)).json()
        seen += [one["id"] for one in answer["sessions"]]
        query["cursor"] = answer.get("cursor", "")
    assert "cursor" not in answer
    assert sorted(seen) == sorted(login["session_id"] for login in logins)


@pytest.mark.parametrize(
    "query", ["?limit=0", "?limit=101", "?limit=x", "?cursor=x", "?cursor=", "?cursor=1.%00"]
)
async def test_a_query_that_makes_no_sense(issuer: Issuer, query: str) -> None:
    await issuer.alice()
    tokens = await issuer.login()
    answer = await issuer.public.get(PATH + query, headers=bearer(tokens["access_token"]))
    assert (answer.status_code, answer.json()["code"]) == (400, "field_invalid")


async def test_the_address_is_the_peers_whatever_a_header_says(issuer: Issuer) -> None:
    await issuer.alice()
    answer = await issuer.public.post(
        "/v1/login",
        json={"username": "alice", "password": "correct horse"},
        headers={"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=203.0.113.7"},
    )
    (session,) = await listed(issuer, answer.json())
    assert session["address"] == "127.0.0.1"


async def test_ending_another_session(issuer: Issuer) -> None:
    await issuer.alice()
    here, there = await issuer.login(), await issuer.login()
    async with issuer.sequencing():
        answer = await remove(issuer, here, "/" + there["session_id"])
    assert (answer.status_code, answer.json()["status"]) == (200, "committed")
    assert [one["id"] for one in await listed(issuer, here)] == [here["session_id"]]
    assert (await issuer.refresh(there["refresh_token"])).status_code == 400
    again = await remove(issuer, here, "/" + there["session_id"])
    assert again.status_code == 404


async def test_pending_while_the_ledger_is_away(issuer: Issuer) -> None:
    """No lease is needed to take away, as for a logout."""
    issuer.stale = True
    await issuer.alice()
    here, there = await issuer.login(), await issuer.login()
    for what in ("/" + there["session_id"], "?except=current"):
        if what.startswith("?"):
            await issuer.login()
        answer = await remove(issuer, here, what)
        assert (answer.status_code, answer.json()["status"]) == (202, "pending"), what
        events = await events_in(issuer.outbox)
        assert events[-1].id == answer.json()["event_id"]


async def test_ending_all_others(issuer: Issuer) -> None:
    await issuer.alice()
    await issuer.users.create("bob", "correct horse")
    bob = await issuer.login(username="bob")
    others = [await issuer.login() for _ in range(3)]
    here = await issuer.login()
    async with issuer.sequencing():
        answer = await remove(issuer, here, "?except=current")
        assert (answer.status_code, answer.json()["status"]) == (200, "committed")
        none_left = await remove(issuer, here, "?except=current")
    assert (none_left.status_code, none_left.json()) == (
        200,
        {"event_id": None, "status": "committed"},
    )
    for other in others:
        assert (await issuer.refresh(other["refresh_token"])).status_code == 400
    assert (await issuer.refresh(here["refresh_token"])).status_code == 200
    assert (await issuer.refresh(bob["refresh_token"])).status_code == 200


async def test_without_saying_which_nothing_ends(issuer: Issuer) -> None:
    await issuer.alice()
    tokens = await issuer.login()
    for query in ("", "?except=", "?except=none"):
        assert (await remove(issuer, tokens, query)).status_code == 400
    assert await events_in(issuer.outbox) == []


async def test_anothers_session_and_none_look_the_same(issuer: Issuer) -> None:
    await issuer.alice()
    await issuer.users.create("bob", "correct horse")
    alice, bob = await issuer.login(), await issuer.login(username="bob")
    answers = [await remove(issuer, bob, "/" + sid) for sid in (alice["session_id"], "A" * 22)]
    assert {answer.status_code for answer in answers} == {404}
    assert answers[0].text == answers[1].text
    assert headers_of(answers[0]) == headers_of(answers[1])
    assert await events_in(issuer.outbox) == []
    assert (await issuer.refresh(alice["refresh_token"])).status_code == 200


async def ask(issuer: Issuer, token: str) -> list[tuple[int, str]]:
    """What each of the three routes says to the token."""
    answers = [
        await issuer.public.request(method, PATH + what, headers=bearer(token))
        for method, what in (("GET", ""), ("DELETE", "/" + "A" * 22), ("DELETE", "?except=current"))
    ]
    return [(answer.status_code, answer.json()["code"]) for answer in answers]


REFUSED = [(401, "invalid_token")] * 3


@pytest.mark.parametrize(
    "how", ["logout", "logout-all", "token", "client", "all", "expired", "new primary"]
)
async def test_a_token_that_was_revoked_sees_and_ends_nothing(issuer: Issuer, how: str) -> None:
    """Though verifiers are told later, and though no agent is asked here."""
    await issuer.alice()
    operator = await issuer.operator("revocations:write")
    tokens = await issuer.login()
    header = bearer(tokens["access_token"])
    victim = await issuer.login()
    claims = issuer.verifier.verify(tokens["access_token"]).claims
    match how:
        case "logout" | "logout-all":
            await issuer.public.post(f"/v1/{how}", headers=header)
        case "expired":
            await issuer.redis.delete(names.SESSION + tokens["session_id"])
        case "new primary":
            await issuer.redis.set(names.EPOCH_OF_ALL, "ev_new")
        case _:
            bodies = {
                "token": {"by": "token", "jti": claims["jti"], "exp": claims["exp"]},
                "client": {"by": "client", "client_id": claims["client_id"]},
                "all": {"by": "all"},
            }
            answer = await issuer.internal.post(
                "/admin/revocations", json=bodies[how], headers=operator
            )
            assert answer.status_code == 202
    number = len(await events_in(issuer.outbox))
    assert await ask(issuer, tokens["access_token"]) == REFUSED
    assert len(await events_in(issuer.outbox)) == number
    if how in ("logout", "token", "expired"):
        assert len(await listed(issuer, victim)) == (2 if how == "token" else 1)


async def test_who_acts_for_a_user_is_not_the_user(issuer: Issuer) -> None:
    await issuer.alice()
    tokens = await issuer.login()
    claims = dict(issuer.verifier.verify(tokens["access_token"]).claims)
    derived = claims | {
        "act": {"sub": "orders-service"},
        "orig": {"jti": claims["jti"], "iat": claims["iat"]},
    }
    token = jws.sign_compact(derived, SIGNER, ACCESS_TOKEN_TYP)
    issuer.verifier.verify(token)
    assert await ask(issuer, token) == REFUSED


async def test_a_client_has_no_sessions(issuer: Issuer) -> None:
    secret = await issuer.clients.create("reports", ["orders"])
    answer = await issuer.public.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=("reports", secret)
    )
    assert await ask(issuer, answer.json()["access_token"]) == REFUSED


async def test_without_a_token(issuer: Issuer) -> None:
    for method, what in (("GET", ""), ("DELETE", "?except=current"), ("DELETE", "/" + "A" * 22)):
        answer = await issuer.public.request(method, PATH + what)
        assert (answer.status_code, answer.json()["code"]) == (401, "token_missing")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "more",
    [
        {"device_name": "a\nb"},
        {"device_name": "a\u202eb"},
        {"device_name": "a" * 65},
        {"device_name": 5},
        {"device_id": "short"},
        {"device_id": "d" * 129},
        {"device_id": "d" * 42 + "="},
        {"device_id": "d" * 43 + "\n"},
    ],
)
async def test_a_device_that_is_refused(issuer: Issuer, more: dict[str, Any]) -> None:
    await issuer.alice()
    body = {"username": "alice", "password": "correct horse", **more}
    answer = await issuer.public.post("/v1/login", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "field_invalid")
    assert "dddd" not in answer.text


async def test_a_device_given_at_login_is_asked_for_at_each_refresh(issuer: Issuer) -> None:
    await issuer.alice()
    tokens = await issuer.login(device_id=DEVICE)
    answer = await issuer.refresh(tokens["refresh_token"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    event = await only_event(issuer.outbox, SessionsRevoked)
    assert event.reason == "device-mismatch"
    assert event.sessions[0].sid == tokens["session_id"]
