"""The token endpoint by RFC 6749."""

import asyncio
import base64

import httpx
import pytest
from redis.asyncio import Redis

from tests.issuer.conftest import CountingHasher
from tests.issuer.http.conftest import CONFIG, Issuer
from tests.issuer.store.helpers import only_event
from tocsin_issuer.store import names
from tocsin_schemas.claims import EXP_LEEWAY_S
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import SessionsRevoked


async def ask(
    issuer: Issuer, auth: tuple[str, str] | None = None, /, **form: str
) -> httpx.Response:
    if auth is None:
        return await issuer.public.post("/oauth/token", data=form)
    return await issuer.public.post("/oauth/token", data=form, auth=auth)


async def test_a_refresh_gives_the_next_pair(issuer: Issuer) -> None:
    sub = await issuer.alice()
    first = await issuer.login()
    await issuer.users.set_access(sub, "admin", ["orders:write"])
    answer = await issuer.refresh(first["refresh_token"])
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    second = answer.json()
    assert second["session_id"] == first["session_id"]
    assert second["refresh_token"] != first["refresh_token"]
    claims = issuer.verifier.verify(second["access_token"]).claims
    assert (claims["sid"], claims["role"]) == (first["session_id"], "admin")
    assert claims["perms"] == ["orders:write"]
    assert (await issuer.refresh(second["refresh_token"])).status_code == 200


async def test_a_replay_ends_the_session(issuer: Issuer) -> None:
    await issuer.alice()
    first = await issuer.login()
    second = (await issuer.refresh(first["refresh_token"])).json()
    for token in (first["refresh_token"], second["refresh_token"]):
        answer = await issuer.refresh(token)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    event = await only_event(issuer.outbox, SessionsRevoked)
    assert event.reason == "refresh-reuse"


async def test_a_hundred_at_once_give_one_pair_and_it_is_dead(issuer: Issuer) -> None:
    """The winner is answered, though another one has ended the session before its token is made."""
    await issuer.alice()
    token = (await issuer.login())["refresh_token"]
    answers = await asyncio.gather(*(issuer.refresh(token) for _ in range(100)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 99
    event = await only_event(issuer.outbox, SessionsRevoked)
    (won,) = (answer.json() for answer in answers if answer.status_code == 200)
    claims = issuer.of_any_audience.verify(
        won["access_token"]
    ).claims  # by a verifier without rules
    (rule,) = event.sessions
    assert (rule.sid, claims["sid"]) == (won["session_id"], won["session_id"])
    assert rule.until > claims["exp"] + EXP_LEEWAY_S
    assert await issuer.redis.exists(names.DENIED + claims["jti"]) == 1
    again = await issuer.refresh(won["refresh_token"])
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


async def test_only_who_came_first_is_answered_for_a_session_that_is_gone(issuer: Issuer) -> None:
    """Neither somebody else's token, nor one of a session that was ended otherwise."""
    sub = await issuer.alice()
    reused, removed = await issuer.login(), await issuer.login()
    for _ in range(2):
        await issuer.refresh(reused["refresh_token"])
    minted = await issuer.context.minter.mint(sub, "app", ["orders"], sid=reused["session_id"])
    assert await issuer.redis.exists(names.DENIED + minted.jti) == 1
    await issuer.context.revocations.revoke_sessions(
        [removed["session_id"]], "logout", "user", bound_s=121
    )
    for owner, sid in (("u_other", reused["session_id"]), (sub, removed["session_id"])):
        with pytest.raises(RequestRejected, match="no token can be issued") as caught:
            await issuer.context.minter.mint(owner, "app", ["orders"], sid=sid)
        assert caught.value.code == "session_gone"


async def test_a_user_who_is_gone_cannot_refresh(issuer: Issuer) -> None:
    sub = await issuer.alice()
    token = (await issuer.login())["refresh_token"]
    await issuer.users.set_disabled(sub, True)
    assert (await issuer.refresh(token)).json()["error"] == "invalid_grant"
    event = await only_event(issuer.outbox, SessionsRevoked)
    assert (event.reason, event.initiator) == ("user-gone", "system")


async def test_a_refresh_by_another_client(issuer: Issuer) -> None:
    await issuer.alice()
    token = (await issuer.login())["refresh_token"]
    secret = await issuer.clients.create("reports", ["orders"])
    assert (await issuer.refresh(token, client_id="other")).json()["error"] == "invalid_grant"
    answer = await ask(issuer, ("reports", secret), grant_type="refresh_token", refresh_token=token)
    assert answer.json()["error"] == "invalid_grant"
    assert (await issuer.refresh(token, scope="more")).json()["error"] == "invalid_scope"
    assert (await issuer.refresh(token, client_id="first-party")).status_code == 200


async def test_a_client_by_header_and_by_form(issuer: Issuer) -> None:
    secret = await issuer.clients.create("re ports", ["orders", "billing"], ["a", "b"])
    grant = {"grant_type": "client_credentials"}
    pair = base64.b64encode(f"re+ports:{secret}".encode()).decode()
    by_header = await issuer.public.post(
        "/oauth/token", data=grant, headers={"Authorization": f"Basic {pair}"}
    )
    by_form = await ask(issuer, client_id="re ports", client_secret=secret, **grant)
    for answer in (by_header, by_form):
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert set(answer.json()) == {"access_token", "token_type", "expires_in", "scope"}
        claims = issuer.verifier.verify(answer.json()["access_token"]).claims
        assert claims["sub"] == claims["client_id"] == "re ports"
        assert claims["aud"] == ["orders", "billing"]
        assert claims["scope"] == "a b"
        assert "sid" not in claims


async def test_a_client_may_ask_for_less_but_not_for_more(issuer: Issuer) -> None:
    auth = ("reports", await issuer.clients.create("reports", ["orders", "billing"], ["a", "b"]))
    grant = {"grant_type": "client_credentials"}
    answer = await ask(issuer, auth, scope="b", audience="billing", **grant)
    claims = issuer.verifier.verify(answer.json()["access_token"]).claims
    assert (claims["scope"], claims["aud"]) == ("b", "billing")
    assert (await ask(issuer, auth, scope="a c", **grant)).json()["error"] == "invalid_scope"
    assert (await ask(issuer, auth, audience="x", **grant)).json()["error"] == "invalid_target"


async def test_a_resource_is_an_audience(issuer: Issuer) -> None:
    """RFC 8707 section 2: whoever names one gets no token for the others."""
    uri = "https://billing.internal/"
    auth = ("reports", await issuer.clients.create("reports", ["orders", uri]))
    grant = {"grant_type": "client_credentials"}
    for named in ({"resource": uri}, {"resource": uri, "audience": uri}):
        answer = await ask(issuer, auth, **grant, **named)
        claims = issuer.of_any_audience.verify(answer.json()["access_token"]).claims
        assert claims["aud"] == uri
    for named in ({"resource": "https://x.example/"}, {"resource": uri, "audience": "orders"}):
        answer = await ask(issuer, auth, **grant, **named)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")


async def test_a_client_that_is_not_known(issuer: Issuer) -> None:
    secret = await issuer.clients.create("reports", ["orders"])
    grant = {"grant_type": "client_credentials"}
    disabled = await issuer.clients.create("closed", ["orders"])
    await issuer.clients.set_disabled("closed", True)
    answers = [
        await ask(issuer, **grant),
        await ask(issuer, ("reports", "wrong"), **grant),
        await ask(issuer, ("nobody", secret), **grant),
        await ask(issuer, ("closed", disabled), **grant),
        await ask(issuer, client_id="reports", client_secret="wrong", **grant),
        await ask(issuer, ("reports", secret), client_id="other", **grant),
        await ask(issuer, client_secret=secret, **grant),
    ]
    for value in ("Basic", "Basic ü", "Basic YQ==", "Basic _w", "Basic /w==", "Bearer x"):
        headers = httpx.Headers([(b"Authorization", value.encode())])
        answers.append(await issuer.public.post("/oauth/token", data=grant, headers=headers))
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", "invalid_request"),
        ("grant_type=", "invalid_request"),
        ("grant_type=password&username=a&password=b", "unsupported_grant_type"),
        ("grant_type=refresh_token", "invalid_request"),
        ("grant_type=refresh_token&refresh_token=x", "invalid_grant"),
        ("grant_type=refresh_token&grant_type=refresh_token", "invalid_request"),
        ("grant_type", "invalid_request"),
        ("grant_type=%ff", "invalid_request"),
        ("grant_type=ü", "invalid_request"),
        ("&".join(f"p{i}=1" for i in range(40)), "invalid_request"),
        ("grant_type=refresh_token&refresh_token=x&unknown=ignored", "invalid_grant"),
    ],
)
async def test_forms_that_are_refused(issuer: Issuer, body: str, error: str) -> None:
    answer = await issuer.public.post(
        "/oauth/token",
        content=body.encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_two_ways_to_authenticate_are_one_too_many(issuer: Issuer) -> None:
    secret = await issuer.clients.create("reports", ["orders"])
    answer = await ask(
        issuer,
        ("reports", secret),
        grant_type="client_credentials",
        client_id="reports",
        client_secret=secret,
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x", ""])
async def test_a_body_of_another_kind(issuer: Issuer, kind: str) -> None:
    answer = await issuer.public.post("/oauth/token", content=b"{}", headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (400, "content_type")


async def test_clients_that_fail_too_often_are_told_to_wait(
    redis: Redis, hasher: CountingHasher
) -> None:
    """A good secret is never refused: nobody guesses one, so a lock would only do harm."""
    issuer = Issuer(redis, hasher, CONFIG.model_copy(update={"login_address_failures": 5}))
    secret = await issuer.clients.create("reports", ["orders"])
    grant = {"grant_type": "client_credentials"}
    for name in ("reports", "nobody", "other", "reports", "reports"):
        assert (await ask(issuer, (name, "wrong"), **grant)).status_code == 401
    for form in ({**grant, "client_secret": "x"}, {**grant, "client_assertion": "x.y.z"}):
        form |= {"client_assertion_type": "x"} if "client_assertion" in form else {}
        answer = await ask(issuer, **form)
        assert (answer.status_code, answer.json()["error"]) == (429, "slow_down")
        assert 0 < int(answer.headers["Retry-After"]) <= issuer.config.login_lock_s
    assert (await ask(issuer, ("reports", secret), **grant)).status_code == 200
    await issuer.aclose()
