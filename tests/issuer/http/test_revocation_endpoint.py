"""The revocation endpoint by RFC 7009."""

import time
from typing import Any

import httpx
import pytest

from tests.issuer.http.conftest import ISS, SIGNER, Issuer, bearer
from tests.issuer.store.helpers import events_in, only_event
from tocsin_issuer.http.revocation_endpoint import MAX_WAITING
from tocsin_issuer.keys.signer import generate
from tocsin_issuer.store import names
from tocsin_issuer.store.register import Registration
from tocsin_issuer.store.sessions import OpenSession, SessionStore
from tocsin_schemas import jws
from tocsin_schemas.claims import ACCESS_TOKEN_TYP, rule_until
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import KeyRevoked, RevokedToken, SessionsRevoked, TokensRevoked

NOTHING_TO_DO = {"event_id": None, "status": "committed"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Service:
    """A confidential client, and what it may hold."""

    def __init__(self, issuer: Issuer, client_id: str, secret: str) -> None:
        self.issuer = issuer
        self.client_id = client_id
        self.auth = (client_id, secret)

    async def revoke(self, token: str, **more: str) -> httpx.Response:
        return await self.issuer.internal.post(
            "/oauth/revoke", data={"token": token, **more}, auth=self.auth
        )

    async def access_token(self) -> str:
        answer = await self.issuer.public.post(
            "/oauth/token", data={"grant_type": "client_credentials"}, auth=self.auth
        )
        return str(answer.json()["access_token"])

    def sessions(self) -> SessionStore:
        return SessionStore(
            self.issuer.redis, self.issuer.outbox, idle_s=60, absolute_s=60, max_token_life_s=3600
        )

    async def session(self) -> OpenSession:
        return await self.sessions().create("alice", self.client_id, ["orders"])


async def service(issuer: Issuer, name: str, *audiences: str) -> Service:
    secret = await issuer.clients.create(name, audiences or ["orders"], ["orders:read"])
    return Service(issuer, name, secret)


@pytest.fixture
async def reports(issuer: Issuer) -> Service:
    return await service(issuer, "reports")


async def test_an_access_token_is_revoked_by_its_jti(issuer: Issuer, reports: Service) -> None:
    token = await reports.access_token()
    claims = issuer.verifier.verify(token).claims
    async with issuer.sequencing():
        answer = await reports.revoke(token)
    assert (answer.status_code, answer.json()["status"]) == (200, "committed")
    assert answer.headers["Cache-Control"] == "no-store"
    assert await issuer.redis.exists(names.DENIED + claims["jti"])


async def test_the_event_names_the_token_and_no_more(issuer: Issuer, reports: Service) -> None:
    token = await reports.access_token()
    claims = issuer.verifier.verify(token).claims
    assert waits(await reports.revoke(token)), "nobody sequences"
    event = await only_event(issuer.outbox, TokensRevoked)
    assert event.tokens == (RevokedToken(claims["jti"], rule_until(claims["exp"]), None),)
    assert (event.reason, event.initiator) == ("client-revoked", "system")


async def test_a_token_for_an_audience_that_no_login_has(issuer: Issuer) -> None:
    reports = await service(issuer, "reports", "warehouse")
    token = await reports.access_token()
    assert waits(await reports.revoke(token))
    assert len((await only_event(issuer.outbox, TokensRevoked)).tokens) == 1


async def test_a_refresh_token_ends_its_session(issuer: Issuer, reports: Service) -> None:
    session = await reports.session()
    minted = "jti-of-the-session"
    await issuer.register.mint(
        Registration(minted, session.sub, session.client_id, session.sid, life_s=600)
    )
    async with issuer.sequencing():
        answer = await reports.revoke(session.refresh_token)
    assert answer.status_code == 200
    with pytest.raises(RequestRejected, match="refresh token"):
        await reports.sessions().refresh(session.refresh_token, bound_s=1, authenticated=True)
    assert await issuer.redis.exists(names.DENIED + minted)


async def test_a_refresh_token_of_an_older_generation(issuer: Issuer, reports: Service) -> None:
    session = await reports.session()
    await reports.sessions().refresh(session.refresh_token, bound_s=1, authenticated=True)
    assert waits(await reports.revoke(session.refresh_token))
    event = await only_event(issuer.outbox, SessionsRevoked)
    assert [one.sid for one in event.sessions] == [session.sid]
    assert event.reason == "client-revoked"


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "pizza"])
async def test_a_hint_is_only_a_hint(issuer: Issuer, reports: Service, hint: str) -> None:
    for token in (await reports.access_token(), (await reports.session()).refresh_token):
        assert waits(await reports.revoke(token, token_type_hint=hint))
    assert [type(event) for event in await events_in(issuer.outbox)] == [
        TokensRevoked,
        SessionsRevoked,
    ]


async def test_tokens_of_other_clients_stay_good(issuer: Issuer, reports: Service) -> None:
    await issuer.alice()
    login = await issuer.login()
    other = await service(issuer, "other")
    tokens = [
        login["access_token"],
        login["refresh_token"],
        await other.access_token(),
        (await other.session()).refresh_token,
    ]
    for token in tokens:
        for hint in ("access_token", "refresh_token"):
            answer = await reports.revoke(token, token_type_hint=hint)
            assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")
    assert await events_in(issuer.outbox) == []
    assert (await issuer.refresh(login["refresh_token"])).status_code == 200


def signed(signer: Any = SIGNER, typ: str = ACCESS_TOKEN_TYP, **changes: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": ISS,
        "sub": "reports",
        "aud": "orders",
        "client_id": "reports",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "jti": "j",
    }
    return jws.sign_compact({**claims, **changes}, signer, typ)


async def test_tokens_that_need_no_revocation(issuer: Issuer, reports: Service) -> None:
    """RFC 7009 section 2.2: an invalid token is no error, since the client can do nothing."""
    session = await reports.session()
    sid, generation, secret = session.refresh_token.split(".")
    swapped = ("B" if secret[0] == "A" else "A") + secret[1:]
    past = int(time.time()) - 7200
    texts = [
        "nonsense",
        "a.b.c",
        "\N{LATIN SMALL LETTER E WITH ACUTE}",
        signed()[:-4] + "AAAA",
        signed(generate("ES256")),
        signed(typ="JWT"),
        signed(iss="https://other.example"),
        signed(iat=past, nbf=past, exp=past + 600),
        f"{'x' * 22}.0.{'y' * 64}",
        f"{sid}.{generation}.{swapped}",
    ]
    for text in texts:
        answer = await reports.revoke(text)
        assert (answer.status_code, answer.json()) == (200, NOTHING_TO_DO), text
    assert await events_in(issuer.outbox) == []
    assert waits(await reports.revoke(signed())), "the one that those differ from"
    assert waits(await reports.revoke(session.refresh_token))


async def test_revoking_again_is_no_error(issuer: Issuer, reports: Service) -> None:
    access, session = await reports.access_token(), await reports.session()
    async with issuer.sequencing():
        for token in (access, session.refresh_token):
            for _ in range(2):
                assert (await reports.revoke(token)).status_code == 200


async def test_asking_again_for_what_is_pending(issuer: Issuer, reports: Service) -> None:
    """200 means in the ledger, though the session is gone since the first answer. However often a
    client asks, there is one event.
    """
    access, session = await reports.access_token(), await reports.session()
    for token in (access, session.refresh_token):
        for _ in range(2):
            assert waits(await reports.revoke(token))
    assert (await reports.revoke(f"{'x' * 22}.0.{'y' * 64}")).status_code == 200
    events = await events_in(issuer.outbox)
    assert [type(event) for event in events] == [TokensRevoked, SessionsRevoked]
    async with issuer.sequencing():
        for token, event in zip((access, session.refresh_token), events, strict=True):
            answer = await reports.revoke(token)
            assert answer.status_code == 200
            assert answer.json() in (NOTHING_TO_DO, {"event_id": event.id, "status": "committed"})


async def test_an_access_token_is_revoked_though_too_much_waits(
    issuer: Issuer, reports: Service
) -> None:
    token = await reports.access_token()
    event = KeyRevoked(id="e", reason="test", initiator="admin", kid=generate("ES256").kid)
    for _ in range(MAX_WAITING + 1):
        await issuer.outbox.emit(event)
    assert waits(await reports.revoke(token))
    assert isinstance((await events_in(issuer.outbox))[-1], TokensRevoked)


def waits(answer: httpx.Response) -> bool:
    """RFC 7009 section 2.2.1: not yet, ask again."""
    members = answer.json()
    assert set(members) == {"error", "error_description", "code"}
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert (members["error"], members["code"]) == ("temporarily_unavailable", "commit_pending")
    return True


async def test_nobody_can_say_with_too_much_waiting(issuer: Issuer, reports: Service) -> None:
    event = KeyRevoked(id="e", reason="test", initiator="admin", kid=generate("ES256").kid)
    for _ in range(MAX_WAITING + 1):
        await issuer.outbox.emit(event)
    answer = await reports.revoke(f"{'x' * 22}.0.{'y' * 64}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


async def test_nobody_can_say_with_what_another_version_wrote(
    issuer: Issuer, reports: Service
) -> None:
    """It is no fault of the request's: the client is to repeat it."""
    await issuer.redis.xadd(names.OUTBOX, {"events": "of the future"})
    answer = await reports.revoke(f"{'x' * 22}.0.{'y' * 64}")
    assert (answer.status_code, answer.json()["code"]) == (503, "outbox_unreadable")
    assert answer.headers["Retry-After"] == "1"


async def test_it_works_without_a_lease(issuer: Issuer, reports: Service) -> None:
    issuer.stale = True
    assert waits(await reports.revoke(await reports.access_token()))


async def test_who_may_ask(issuer: Issuer, reports: Service) -> None:
    token = await reports.access_token()
    client_id, secret = reports.auth
    refused = [
        await issuer.internal.post("/oauth/revoke", data={"token": token}),
        await issuer.internal.post("/oauth/revoke", data={"token": token, "client_id": "reports"}),
        await issuer.internal.post("/oauth/revoke", data={"token": token, "client_id": "nobody"}),
        await issuer.internal.post("/oauth/revoke", data={"token": token}, headers=bearer(token)),
        await issuer.internal.post(
            "/oauth/revoke", data={"token": token}, auth=(client_id, "wrong")
        ),
        await issuer.internal.post("/oauth/revoke", data={"token": token}, auth=("no", secret)),
    ]
    for answer in refused:
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert await events_in(issuer.outbox) == []


async def by_the_app(issuer: Issuer, token: str) -> httpx.Response:
    """A public client: it says who it is, and shows nothing."""
    form = {"token": token, "client_id": "first-party"}
    return await issuer.internal.post("/oauth/revoke", data=form)


async def test_a_public_client_gives_its_tokens_back(issuer: Issuer) -> None:
    """RFC 7009 section 2.1: it has no credentials that could be looked at."""
    await issuer.alice()
    access, login = (await issuer.login())["access_token"], await issuer.login()
    async with issuer.sequencing():
        for token in (access, login["refresh_token"]):
            answer = await by_the_app(issuer, token)
            assert (answer.status_code, answer.json()["status"]) == (200, "committed")
    assert await issuer.redis.exists(names.DENIED + issuer.verifier.verify(access).claims["jti"])
    assert (await issuer.refresh(login["refresh_token"])).status_code == 400


async def test_a_public_client_and_what_is_not_its_own(issuer: Issuer, reports: Service) -> None:
    await issuer.alice()
    sid, generation, _ = (await issuer.login())["refresh_token"].split(".")
    for text in ("nonsense", f"{sid}.{generation}.{'y' * 64}", f"{'x' * 22}.0.{'y' * 64}"):
        answer = await by_the_app(issuer, text)
        assert (answer.status_code, answer.json()) == (200, NOTHING_TO_DO), "all the same"
    for token in (await reports.access_token(), (await reports.session()).refresh_token):
        answer = await by_the_app(issuer, token)
        assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")
    assert await events_in(issuer.outbox) == []


@pytest.mark.parametrize("disabled", [False, True])
async def test_a_client_that_is_registered_is_no_public_one(issuer: Issuer, disabled: bool) -> None:
    await issuer.alice()
    login = await issuer.login()
    await issuer.clients.create("first-party", ["orders"])
    await issuer.clients.set_disabled("first-party", disabled)
    answer = await by_the_app(issuer, login["refresh_token"])
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert await events_in(issuer.outbox) == []


@pytest.mark.parametrize(
    "body",
    [
        "",
        "token=",
        "token=a&token=b",
        "token=a&token_type_hint=x&token_type_hint=x",
        "token_type_hint=access_token",
        "token",
        "token=%ff",
        "token=" + "a" * 8193,
    ],
)
async def test_requests_that_are_refused(issuer: Issuer, reports: Service, body: str) -> None:
    answer = await issuer.internal.post(
        "/oauth/revoke", content=body.encode(), headers=FORM, auth=reports.auth
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_only_on_the_internal_listener(issuer: Issuer, reports: Service) -> None:
    answer = await issuer.public.post("/oauth/revoke", data={"token": "x"}, auth=reports.auth)
    assert answer.status_code == 404
    assert (await issuer.internal.get("/oauth/revoke", auth=reports.auth)).status_code == 405
    body = await issuer.internal.post("/oauth/revoke", json={"token": "x"}, auth=reports.auth)
    assert body.status_code == 400
