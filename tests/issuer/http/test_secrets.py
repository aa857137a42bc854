"""A whole life of tokens, with everything logged: no secret shows in a log or in an error."""

import pytest

from tests.issuer.http.conftest import Issuer, bearer


async def test_no_secret_is_logged_or_echoed(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    await issuer.alice()
    client_secret = await issuer.clients.create("reports", ["orders"])
    first = await issuer.login()
    second = (await issuer.refresh(first["refresh_token"])).json()
    header = bearer(second["access_token"])
    wrong = "a wrong password"
    form = {"grant_type": "client_credentials"}
    machine = await issuer.public.post("/oauth/token", data=form, auth=("reports", client_secret))
    errors = [
        await issuer.public.post("/v1/login", json={"username": "alice", "password": wrong}),
        await issuer.public.post("/oauth/token", data=form, auth=("x", client_secret)),
        await issuer.public.post("/oauth/token", data={**form, "client_secret": client_secret}),
        await issuer.refresh(first["refresh_token"]),
        await issuer.refresh(second["refresh_token"], scope=second["refresh_token"]),
        await issuer.internal.post("/admin/keys/rotate", headers=header),
        await issuer.internal.post(
            "/admin/revocations", headers=header, json={"by": "token", "token": "x"}
        ),
        await issuer.public.post("/v1/logout", headers=bearer(second["access_token"] + "x")),
    ]
    assert (await issuer.public.post("/v1/logout", headers=header)).status_code == 202
    secrets = [
        "correct horse",
        wrong,
        client_secret,
        machine.json()["access_token"],
        *(tokens[name] for tokens in (first, second) for name in ("access_token", "refresh_token")),
    ]
    for answer in errors:
        assert 400 <= answer.status_code < 500
        for secret in secrets:
            assert secret not in answer.text + str(answer.headers)
    for secret in secrets:
        assert secret not in caplog.text
        assert secret.rpartition(".")[2] not in caplog.text
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
