"""A session that ends by its age leaves no token behind that somebody would have to revoke."""

import time

import pytest

from tests.issuer.http.conftest import ISS, Issuer
from tests.issuer.store.helpers import events_in
from tocsin_issuer.store import names
from tocsin_schemas.claims import EXP_LEEWAY_S
from tocsin_schemas.errors import TokenRejected
from tocsin_verifier_agent.verifier import Verifier

DEVICE = "d" * 43


async def test_no_token_outlives_its_session(issuer: Issuer) -> None:
    """Whether the end is that of an idle session or the absolute one."""
    await issuer.alice()
    tokens = await issuer.login()
    key = names.SESSION + tokens["session_id"]
    ends = int(time.time()) + 100
    await issuer.redis.hset(key, "ends", ends)
    answer = (await issuer.refresh(tokens["refresh_token"])).json()
    claims = issuer.verifier.verify(answer["access_token"]).claims
    assert claims["exp"] + EXP_LEEWAY_S == ends == await issuer.redis.expiretime(key)
    assert answer["expires_in"] == claims["exp"] - claims["iat"] <= 100 - EXP_LEEWAY_S
    jwks = (await issuer.public.get("/.well-known/jwks.json")).json()

    def accepted(at: int) -> bool:
        clock = float(at)
        verifier = Verifier.from_jwks(jwks, issuer=ISS, audience="orders", clock=lambda: clock)
        try:
            verifier.verify(answer["access_token"])
        except TokenRejected as rejected:
            assert rejected.code == "exp"
            return False
        return True

    assert [accepted(ends + after) for after in (-1, 0, 1)] == [True, False, False]
    assert await events_in(issuer.outbox) == []


@pytest.mark.parametrize(("left", "status"), [(EXP_LEEWAY_S - 1, 400), (EXP_LEEWAY_S + 5, 200)])
async def test_a_session_that_ends_within_the_leeway_gives_no_token(
    issuer: Issuer, left: int, status: int
) -> None:
    await issuer.alice()
    tokens = await issuer.login()
    ends = int(time.time()) + left
    await issuer.redis.hset(names.SESSION + tokens["session_id"], "ends", ends)
    answer = await issuer.refresh(tokens["refresh_token"])
    assert answer.status_code == status, answer.text
    assert answer.json().get("error") == ("invalid_grant" if status == 400 else None)


async def test_a_session_in_its_last_second_gives_no_token(issuer: Issuer) -> None:
    """A cutoff lets new tokens begin a moment later than now: after the session's end."""
    sub = await issuer.alice()
    tokens = await issuer.login()
    now = int(time.time())
    await issuer.redis.hset(names.SESSION + tokens["session_id"], "ends", now + EXP_LEEWAY_S + 2)
    await issuer.redis.set(names.CUTOFF_OF_SUBJECT + sub, now + 3)
    answer = await issuer.refresh(tokens["refresh_token"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_a_refresh_shows_the_device(issuer: Issuer) -> None:
    await issuer.alice()
    tokens = await issuer.login(device_id=DEVICE)
    first = await issuer.refresh(tokens["refresh_token"], device_id=DEVICE)
    again = await issuer.refresh(tokens["refresh_token"], device_id=DEVICE)
    assert (first.status_code, again.status_code) == (200, 200)
    assert (await issuer.refresh(tokens["refresh_token"], device_id=DEVICE)).status_code == 400
