"""200 means in the ledger, 202 means in the outbox, and either way the session is over."""

import pytest

from tests.issuer.http.conftest import Issuer, bearer
from tests.issuer.store.helpers import events_in, only_event
from tocsin_issuer.minting import Derivation
from tocsin_schemas.events import SessionsRevoked, SubjectRevokedBefore, TokensRevoked


async def test_a_logout_in_the_ledger(issuer: Issuer) -> None:
    await issuer.alice()
    tokens = await issuer.login()
    async with issuer.sequencing():
        answer = await issuer.public.post("/v1/logout", headers=bearer(tokens["access_token"]))
    assert answer.status_code == 200
    assert set(answer.json()) == {"event_id", "status"}
    assert answer.json()["status"] == "committed"
    assert await issuer.outbox.length() == 0
    refused = await issuer.refresh(tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


async def test_a_logout_while_the_ledger_is_away(issuer: Issuer) -> None:
    """The token is verified without a lease, so that a logout works then as well."""
    issuer.stale = True
    await issuer.alice()
    tokens = await issuer.login()
    answer = await issuer.public.post("/v1/logout", headers=bearer(tokens["access_token"]))
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    event = await only_event(issuer.outbox, SessionsRevoked)
    assert event.id == answer.json()["event_id"]
    assert event.sessions[0].sid == tokens["session_id"]
    assert (await issuer.refresh(tokens["refresh_token"])).status_code == 400


async def test_logging_out_twice_says_the_same(issuer: Issuer) -> None:
    await issuer.alice()
    header = bearer((await issuer.login())["access_token"])
    async with issuer.sequencing():
        answers = [await issuer.public.post("/v1/logout", headers=header) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["event_id"] != answers[1].json()["event_id"]


async def test_a_token_without_a_session_logs_itself_out(issuer: Issuer) -> None:
    secret = await issuer.clients.create("reports", ["orders"])
    form = {"grant_type": "client_credentials"}
    answer = await issuer.public.post("/oauth/token", data=form, auth=("reports", secret))
    token = answer.json()["access_token"]
    await issuer.public.post("/v1/logout", headers=bearer(token))
    claims = issuer.verifier.verify(token).claims
    event = await only_event(issuer.outbox, TokensRevoked)
    assert [(rule.jti, rule.until) for rule in event.tokens] == [
        (claims["jti"], claims["exp"] + 30)
    ]


async def test_logout_everywhere_and_in_again_at_once(issuer: Issuer) -> None:
    sub = await issuer.alice()
    elsewhere = await issuer.login()
    here = await issuer.login()
    answer = await issuer.public.post("/v1/logout-all", headers=bearer(here["access_token"]))
    assert answer.status_code == 202
    event = await only_event(issuer.outbox, SubjectRevokedBefore)
    assert (event.sub, event.reason, event.initiator) == (sub, "logout-all", "user")
    for tokens in (elsewhere, here):
        assert issuer.verifier.verify(tokens["access_token"]).claims["iat"] < event.before
        assert (await issuer.refresh(tokens["refresh_token"])).status_code == 400
    anew = await issuer.login()
    assert issuer.verifier.verify(anew["access_token"]).claims["iat"] >= event.before
    assert (await issuer.refresh(anew["refresh_token"])).status_code == 200


async def test_a_token_that_is_dead_or_anothers_logs_nobody_out_everywhere(issuer: Issuer) -> None:
    """Or whoever stole it once could end each new session of its owner's."""
    sub = await issuer.alice()
    gone, alive = await issuer.login(), await issuer.login()
    await issuer.public.post("/v1/logout", headers=bearer(gone["access_token"]))
    before = await issuer.outbox.length()
    for token in (gone["access_token"], await acting_for(issuer, sub, alive["access_token"])):
        answer = await issuer.public.post("/v1/logout-all", headers=bearer(token))
        assert answer.status_code == 401
    assert await issuer.outbox.length() == before
    assert (await issuer.refresh(alive["refresh_token"])).status_code == 200


async def test_who_acts_for_somebody_does_not_log_them_out(issuer: Issuer) -> None:
    """A service's token in a user's name: neither the session nor the token ends by it."""
    sub = await issuer.alice()
    tokens = await issuer.login()
    alone = (await issuer.context.minter.mint(sub, "reports", ["orders"])).token
    for token in (tokens["access_token"], alone):
        acting = await acting_for(issuer, sub, token)
        answer = await issuer.public.post("/v1/logout", headers=bearer(acting))
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    assert await events_in(issuer.outbox) == []
    assert (await issuer.refresh(tokens["refresh_token"])).status_code == 200


async def acting_for(issuer: Issuer, sub: str, token: str) -> str:
    """What a service has traded a user's token for."""
    verified = issuer.verifier.verify(token)
    act = {"sub": "inventory", "act": {"sub": verified.client_id}}
    minted = await issuer.context.minter.mint(
        sub,
        "inventory",
        ["orders"],
        sid=verified.session_id,
        derivation=Derivation.of(verified, token, act),
    )
    return minted.token


async def test_logging_out_everywhere_over_and_over(issuer: Issuer) -> None:
    await issuer.alice()
    answers = []
    for _ in range(10):
        header = bearer((await issuer.login())["access_token"])
        answers.append(await issuer.public.post("/v1/logout-all", headers=header))
        if answers[-1].status_code != 202:
            break
    answer = answers[-1]
    assert (answer.status_code, answer.json()["code"]) == (429, "cutoff_ahead")
    assert answer.json()["error"] == "slow_down"
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize("path", ["/v1/logout", "/v1/logout-all"])
@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({}, "token_missing"),
        ({"Authorization": "Bearer"}, "token_missing"),
        ({"Authorization": "Basic YTpi"}, "token_missing"),
        ({"Authorization": "Bearer not.a.token"}, "invalid_token"),
        ({"Authorization": "Bearer " + "x" * 9000}, "invalid_token"),
        ({"Authorization": "Bearer a.b.ü"}, "invalid_token"),
    ],
)
async def test_without_a_good_token(
    issuer: Issuer, path: str, header: dict[str, str], code: str
) -> None:
    encoded = {name: value.encode() for name, value in header.items()}
    answer = await issuer.public.post(path, headers=list(encoded.items()))  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert await events_in(issuer.outbox) == []
