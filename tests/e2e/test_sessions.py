"""A user's sessions through the real listeners."""

from tests.e2e.conftest import Stack


async def test_the_address_of_a_session_is_the_peers(stack: Stack) -> None:
    """No header changes it, though the peer is on loopback, which servers like to trust."""
    secrets, public = stack.secrets, stack.development.public_url
    login = await stack.http.post(
        f"{public}/v1/login",
        json={"username": secrets.username, "password": secrets.password},
        headers={"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"},
    )
    token = login.json()["access_token"]
    answer = await stack.http.get(
        f"{public}/v1/sessions", headers={"Authorization": f"Bearer {token}"}
    )
    (session,) = answer.json()["sessions"]
    assert (session["address"], session["current"]) == ("127.0.0.1", True)
