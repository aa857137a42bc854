"""One revocation of each kind, from the request to an agent's refusal."""

import asyncio
from collections.abc import Callable

import pytest

from tests.e2e.conftest import Stack
from tests.support.rejected import rejected
from tocsin_schemas import jws


async def test_logout_ends_one_session_and_no_other(stack: Stack) -> None:
    phone, laptop = await stack.log_in(), await stack.log_in()
    async with stack.agent() as agent:
        assert agent.verify(phone["access_token"]).permissions >= {"orders:read"}
        answer = await stack.post("/v1/logout", phone["access_token"])
        assert (answer.status_code, answer.json()["status"]) == (200, "committed")
        assert await rejected(agent, phone["access_token"]) == "session_revoked"
        agent.verify(laptop["access_token"])


async def test_logout_everywhere_and_an_immediate_login(stack: Stack) -> None:
    before = [await stack.log_in() for _ in range(3)]
    async with stack.agent() as agent:
        for round_ in range(3):
            answer = await stack.post("/v1/logout-all", before[0]["access_token"])
            assert answer.status_code == 200, (round_, answer.text)
            after = await stack.log_in()
            for login in before:
                assert await rejected(agent, login["access_token"]) == "subject_revoked"
            agent.verify(after["access_token"])
            before = [after]


Body = Callable[[dict[str, str], dict[str, object]], dict[str, object]]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (lambda login, _: {"by": "token", "token": login["access_token"]}, "token_revoked"),
        (lambda login, _: {"by": "session", "sid": login["session_id"]}, "session_revoked"),
        (lambda _, claims: {"by": "subject", "sub": claims["sub"]}, "subject_revoked"),
        (lambda _, claims: {"by": "client", "client_id": claims["client_id"]}, "client_revoked"),
        (lambda _, __: {"by": "all"}, "all_revoked"),
    ],
    ids=["token", "session", "subject", "client", "all"],
)
async def test_an_operator_revokes(stack: Stack, body: Body, code: str) -> None:
    login = await stack.log_in()
    async with stack.agent() as agent, stack.agent("inventory") as other:
        claims = dict(agent.verify(login["access_token"]).claims)
        answer = await stack.admin("POST", "/admin/revocations", body(login, claims))
        assert answer.status_code == 200, answer.text
        assert await rejected(agent, login["access_token"]) == code
        assert await rejected(other, login["access_token"]) == code
        assert answer.json()["event_id"].startswith("ev_")
        agent.verify((await stack.log_in())["access_token"])


async def test_reuse_of_a_refresh_token_ends_the_session(stack: Stack) -> None:
    login = await stack.log_in()

    async def refresh(token: str) -> tuple[int, dict[str, str]]:
        answer = await stack.http.post(
            f"{stack.development.public_url}/oauth/token",
            data={"grant_type": "refresh_token", "refresh_token": token},
        )
        return answer.status_code, answer.json()

    async with stack.agent() as agent:
        status, second = await refresh(login["refresh_token"])
        assert status == 200
        agent.verify(second["access_token"])
        status, refused = await refresh(login["refresh_token"])
        assert (status, refused["error"]) == (400, "invalid_grant")
        assert await rejected(agent, second["access_token"]) == "session_revoked"
        status, refused = await refresh(second["refresh_token"])
        assert (status, refused["error"]) == (400, "invalid_grant")


def kid_of(token: str) -> str:
    return jws.parse_header(token.split(".", 1)[0]).kid


async def test_a_key_rotates_and_old_tokens_stay_good(stack: Stack) -> None:
    before = await stack.log_in()
    async with stack.agent() as agent:
        answer = await stack.admin("POST", "/admin/keys/rotate")
        assert answer.status_code == 200, answer.text
        after = await stack.log_in()
        assert (
            kid_of(after["access_token"]) == answer.json()["kid"] != kid_of(before["access_token"])
        )
        agent.verify(before["access_token"])
        agent.verify(after["access_token"])


async def test_a_new_key_waits_for_the_bound_before_it_signs(stack: Stack) -> None:
    """I9: a second rotation within B finds no standby that every agent knows."""
    assert (await stack.admin("POST", "/admin/keys/rotate")).status_code == 200
    answer = await stack.admin("POST", "/admin/keys/rotate")
    assert (answer.status_code, answer.json().get("code")) == (409, "standby_too_young"), (
        answer.text
    )
    await asyncio.sleep(2.2)
    assert (await stack.admin("POST", "/admin/keys/rotate")).status_code == 200


async def test_a_compromised_key_is_replaced_at_once(stack: Stack) -> None:
    before = await stack.log_in()
    kid = kid_of(before["access_token"])
    async with stack.agent() as agent:
        agent.verify(before["access_token"])
        answer = await stack.admin("POST", f"/admin/keys/{kid}/revoke")
        assert answer.status_code == 200, answer.text
        after = await stack.log_in()
        assert kid_of(after["access_token"]) != kid
        # The next keyset follows at once, and no longer lists the key.
        assert await rejected(agent, before["access_token"]) in ("key_revoked", "kid")
        agent.verify(after["access_token"])
        # The session is kept: its next refresh brings a token of the new key.
        refreshed = await stack.http.post(
            f"{stack.development.public_url}/oauth/token",
            data={"grant_type": "refresh_token", "refresh_token": before["refresh_token"]},
        )
        assert refreshed.status_code == 200, refreshed.text
        token = refreshed.json()["access_token"]
        assert agent.verify(token).claims["sid"] == before["session_id"]
        assert kid_of(token) == kid_of(after["access_token"])
        jwks = await stack.http.get(f"{stack.development.public_url}/.well-known/jwks.json")
        assert kid not in {key["kid"] for key in jwks.json()["keys"]}
