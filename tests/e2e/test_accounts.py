"""Users and clients through the internal listener, as an operator sees them."""

from tests.e2e.conftest import Stack


async def test_an_operator_manages_accounts(stack: Stack) -> None:
    made = await stack.admin(
        "POST", "/admin/clients", {"client_id": "reports", "audiences": ["orders"]}
    )
    assert made.status_code == 201, made.text
    clients = (await stack.admin("GET", "/admin/clients")).json()["clients"]
    assert {"reports"} < {one["client_id"] for one in clients}
    rotated = await stack.admin("POST", "/admin/clients/reports/secret")
    assert (rotated.status_code, rotated.json()["status"]) == (200, "committed")
    codes = [
        (
            await stack.http.post(
                f"{stack.development.public_url}/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=("reports", answer.json()["client_secret"]),
            )
        ).status_code
        for answer in (made, rotated)
    ]
    assert codes == [401, 200]
    (user,) = (await stack.admin("GET", "/admin/users")).json()["users"]
    ended = await stack.admin("POST", f"/admin/users/{user['sub']}/disable")
    assert (ended.status_code, ended.json()["status"]) == (200, "committed")
    answer = await stack.http.post(
        f"{stack.development.public_url}/v1/login",
        json={"username": stack.secrets.username, "password": stack.secrets.password},
    )
    assert answer.status_code == 401
