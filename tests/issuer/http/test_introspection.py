"""The introspection endpoint by RFC 7662."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.issuer.http.conftest import SIGNER, Issuer, bearer
from tests.issuer.http.exchange_services import enter
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.introspection import MAX_WAITING
from tocsin_issuer.keys.signer import generate
from tocsin_issuer.minting import Derivation
from tocsin_issuer.store import names
from tocsin_schemas import jws
from tocsin_schemas.claims import ACCESS_TOKEN_TYP
from tocsin_schemas.events import AllRevokedBefore, KeyRevoked, RevokedSession, SessionsRevoked

INACTIVE = {"active": False}


class Caller:
    """A service that may introspect."""

    def __init__(self, issuer: Issuer, auth: tuple[str, str]) -> None:
        self.issuer = issuer
        self.auth = auth

    async def ask(self, token: str, **more: str) -> httpx.Response:
        return await self.issuer.internal.post(
            "/oauth/introspect", data={"token": token, **more}, auth=self.auth
        )

    async def about(self, token: str) -> Any:
        answer = await self.ask(token)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.json()


@pytest.fixture
async def caller(issuer: Issuer) -> Caller:
    secret = await issuer.clients.create("orders-service", ["orders"], ["tokens:introspect"])
    return Caller(issuer, ("orders-service", secret))


async def test_an_active_token(issuer: Issuer, caller: Caller) -> None:
    sub = await issuer.alice(("orders:read",))
    login = await issuer.login()
    members = await caller.about(login["access_token"])
    claims = issuer.verifier.verify(login["access_token"]).claims
    assert members == {**claims, "active": True, "token_type": "Bearer"}
    assert (members["sub"], members["sid"]) == (sub, login["session_id"])
    assert members["perms"] == ["orders:read"]
    with_hint = await caller.ask(login["access_token"], token_type_hint="refresh_token")
    assert with_hint.json() == members, "RFC 7662 section 2.1: a wrong hint changes nothing"


async def test_a_token_of_a_client(issuer: Issuer, caller: Caller) -> None:
    auth = ("reports", await issuer.clients.create("reports", ["orders", "billing"], ["a", "b"]))
    answer = await issuer.public.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=auth
    )
    members = await caller.about(answer.json()["access_token"])
    assert (members["scope"], members["client_id"]) == ("a b", "reports")
    assert members["aud"] == ["orders", "billing"]
    assert "sid" not in members


def forged(**changes: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": "https://issuer.example",
        "sub": "mallory",
        "aud": "orders",
        "client_id": "app",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "jti": "j",
    }
    signer = changes.pop("signer", SIGNER)
    typ = changes.pop("typ", ACCESS_TOKEN_TYP)
    return jws.sign_compact({**claims, **changes}, signer, typ)


async def test_a_token_for_another_audience_is_as_active_as_any(
    issuer: Issuer, caller: Caller
) -> None:
    minted = await issuer.context.minter.mint("bob", "reports", ["ledgers"])
    assert (await caller.about(minted.token))["aud"] == "ledgers"


async def test_tokens_that_are_not_active(issuer: Issuer, caller: Caller) -> None:
    await issuer.alice()
    login = await issuer.login()
    good: str = login["access_token"]
    texts = [
        "nonsense",
        "a.b.c",
        "\N{LATIN SMALL LETTER E WITH ACUTE}",
        good[:-4] + "AAAA",
        login["refresh_token"],
        forged(signer=generate("ES256")),
        forged(),  # by a key that was stolen: it was never issued
        forged(typ="JWT"),
        forged(iss="https://other.example"),
        forged(exp=int(time.time()) - 3600, iat=int(time.time()) - 7200),
    ]
    for text in texts:
        assert await caller.about(text) == INACTIVE
    assert (await caller.about(good))["active"] is True


async def test_a_revocation_is_seen_before_it_is_in_the_ledger(
    issuer: Issuer, caller: Caller
) -> None:
    """Nobody plays the sequencer here, and the verifier behind the endpoint knows no rules."""
    await issuer.alice()
    first, second = await issuer.login(), await issuer.login()
    assert (await caller.about(first["access_token"]))["active"] is True
    answer = await issuer.public.post("/v1/logout", headers=bearer(first["access_token"]))
    assert answer.status_code == 202
    assert await caller.about(first["access_token"]) == INACTIVE
    assert (await caller.about(second["access_token"]))["active"] is True

    claims = issuer.verifier.verify(second["access_token"]).claims
    await issuer.outbox.emit(
        SessionsRevoked(
            id="e1",
            reason="test",
            initiator="admin",
            sessions=(RevokedSession("another", claims["exp"] + 60),),
        )
    )
    assert (await caller.about(second["access_token"]))["active"] is True
    await issuer.outbox.emit(
        AllRevokedBefore(
            id="e2",
            reason="test",
            initiator="admin",
            before=claims["iat"] + 1,
            until=claims["exp"] + 60,
        )
    )
    assert await caller.about(second["access_token"]) == INACTIVE


End = Callable[[IssuerContext, dict[str, Any]], Awaitable[object]]
ENDS: dict[str, End] = {
    "token": lambda it, c: it.revocations.revoke_tokens([(c["jti"], c["exp"])], "test", "admin"),
    "session": lambda it, c: it.revocations.revoke_sessions([c["sid"]], "test", "admin", bound_s=1),
    "one's own session": lambda it, c: it.sessions.own.end(c["sub"], c["sid"], bound_s=1),
    "subject": lambda it, c: it.cutoffs.subject(c["sub"], "test", "admin"),
    "client": lambda it, c: it.cutoffs.client(c["client_id"], "test", "admin"),
    "all": lambda it, c: it.cutoffs.everything("test", "admin"),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_a_revocation_is_seen_after_another_replica_has_committed_it(
    issuer: Issuer, caller: Caller, end: End
) -> None:
    """It has left the outbox, and the verifier behind the endpoint has not read it: of the token,
    and of what was derived from it.
    """
    await issuer.alice()
    token = (await issuer.login())["access_token"]
    claims = issuer.verifier.verify(token).claims
    derived = await derived_from(issuer, token, "inventory-service", "orders-service")
    for text in (token, derived):
        assert (await caller.about(text))["active"] is True
    await end(issuer.context, claims)
    await leave_the_outbox(issuer)
    for text in (token, derived):
        assert issuer.of_any_audience.verify(text)
        assert await caller.about(text) == INACTIVE


@pytest.mark.parametrize("actor", ["inventory-service", "orders-service"])
async def test_an_actor_that_is_cut_off(issuer: Issuer, caller: Caller, actor: str) -> None:
    await issuer.alice()
    token = (await issuer.login())["access_token"]
    derived = await derived_from(issuer, token, "inventory-service", "orders-service")
    await issuer.context.cutoffs.client(actor, "test", "admin")
    await leave_the_outbox(issuer)
    assert await caller.about(derived) == INACTIVE
    assert (await caller.about(token))["active"] is True


async def test_an_account_that_is_disabled(issuer: Issuer, caller: Caller) -> None:
    await issuer.clients.create("reports", ["orders"])
    token = (await issuer.context.minter.mint("reports", "reports", ["orders"])).token
    assert (await caller.about(token))["active"] is True
    await issuer.clients.set_disabled("reports", True)
    assert await caller.about(token) == INACTIVE


async def test_a_token_in_its_last_leeway_is_active(issuer: Issuer, caller: Caller) -> None:
    """As long as a verifier accepts it."""
    past = int(time.time()) - 600
    token = forged(iat=past, nbf=past, exp=past + 590)
    await enter(issuer, token)
    assert (await caller.about(token))["active"] is True


async def derived_from(issuer: Issuer, token: str, *actors: str) -> str:
    """A token that these have traded it for, the last one of them first."""
    verified = issuer.verifier.verify(token)
    act: dict[str, Any] = {"sub": verified.client_id}
    for actor in reversed(actors):
        act = {"sub": actor, "act": act}
    minted = await issuer.context.minter.mint(
        verified.subject,
        actors[0],
        ["billing"],
        sid=verified.session_id,
        derivation=Derivation.of(verified, token, act),
    )
    return minted.token


async def leave_the_outbox(issuer: Issuer) -> None:
    ids = [entry.id for entry in await issuer.outbox.read(100)]
    await issuer.journal.settle(await issuer.journal.append(1, "text", ids), 1, "h", 1)
    assert await issuer.outbox.length() == 0


async def test_a_key_that_is_about_to_be_revoked(issuer: Issuer, caller: Caller) -> None:
    await issuer.alice()
    token = (await issuer.login())["access_token"]
    await issuer.outbox.emit(
        KeyRevoked(id="e", reason="test", initiator="admin", kid=generate("ES256").kid)
    )
    assert (await caller.about(token))["active"] is True
    await issuer.outbox.emit(KeyRevoked(id="e", reason="test", initiator="admin", kid=SIGNER.kid))
    assert await caller.about(token) == INACTIVE


async def test_nobody_can_say_without_a_lease(issuer: Issuer, caller: Caller) -> None:
    await issuer.alice()
    token = (await issuer.login())["access_token"]
    issuer.stale = True
    answer = await caller.ask(token)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")


async def test_nobody_can_say_with_too_much_waiting(issuer: Issuer, caller: Caller) -> None:
    await issuer.alice()
    token = (await issuer.login())["access_token"]
    event = KeyRevoked(id="e", reason="test", initiator="admin", kid=generate("ES256").kid)
    for _ in range(MAX_WAITING + 1):
        await issuer.outbox.emit(event)
    assert (await caller.ask(token)).status_code == 503


async def test_nobody_can_say_with_what_another_version_wrote(
    issuer: Issuer, caller: Caller
) -> None:
    await issuer.redis.xadd(names.OUTBOX, {"events": "of the future"})
    answer = await caller.ask("any.token.whatever")
    assert (answer.status_code, answer.json()["code"]) == (503, "agent_stale")


async def test_who_may_ask(issuer: Issuer, caller: Caller) -> None:
    await issuer.alice()
    token = (await issuer.login())["access_token"]
    client_id, secret = caller.auth
    by_form = await issuer.internal.post(
        "/oauth/introspect",
        data={"token": token, "client_id": client_id, "client_secret": secret},
    )
    assert by_form.json()["active"] is True

    refused = [
        await issuer.internal.post("/oauth/introspect", data={"token": token}),
        await issuer.internal.post(
            "/oauth/introspect", data={"token": token}, headers=bearer(token)
        ),
        await issuer.internal.post(
            "/oauth/introspect", data={"token": token}, auth=(client_id, "wrong")
        ),
        await issuer.internal.post(
            "/oauth/introspect", data={"token": token}, auth=("nobody", secret)
        ),
    ]
    await issuer.clients.set_disabled(client_id, True)
    refused.append(await caller.ask(token))
    for answer in refused:
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
        assert "active" not in answer.json()


async def test_a_client_without_the_permission(issuer: Issuer) -> None:
    await issuer.alice()
    token = (await issuer.login())["access_token"]
    auth = ("reports", await issuer.clients.create("reports", ["orders"], ["orders:read"]))
    for text in (token, "nonsense"):
        answer = await Caller(issuer, auth).ask(text)
        assert (answer.status_code, answer.json()["error"]) == (403, "unauthorized_client")


@pytest.mark.parametrize(
    "body", ["", "token=", "token=a&token=b", "token_type_hint=access_token", "token=" + "a" * 8193]
)
async def test_requests_that_are_refused(issuer: Issuer, caller: Caller, body: str) -> None:
    answer = await issuer.internal.post(
        "/oauth/introspect",
        content=body.encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        auth=caller.auth,
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_only_on_the_internal_listener(issuer: Issuer, caller: Caller) -> None:
    answer = await issuer.public.post("/oauth/introspect", data={"token": "x"}, auth=caller.auth)
    assert answer.status_code == 404
    assert (await issuer.internal.get("/oauth/introspect", auth=caller.auth)).status_code == 405
