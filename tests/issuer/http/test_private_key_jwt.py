"""Clients that sign assertions in place of showing a secret (RFC 7523, OpenID Connect Core 9)."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from tests.issuer.conftest import CountingHasher
from tests.issuer.http.conftest import CONFIG, ISS, Issuer
from tests.support.keys import public_jwk, signer
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_issuer.store import names
from tocsin_schemas import base64url, jws, strict_json
from tocsin_schemas.claims import ACCESS_TOKEN_TYP
from tocsin_schemas.client_assertion import ASSERTION_TYPE
from tocsin_schemas.errors import RequestRejected

KEY = signer("ES256", "reports")
OTHER_KEY = signer("ES256", "another client")
TOKEN_ENDPOINT = f"{ISS}/oauth/token"
_jtis = iter(range(10**9))


def assertion(key: PrivateKeySigner = KEY, typ: str = "JWT", **changes: Any) -> str:
    """A good one; a change to None takes the claim out."""
    now = int(time.time())
    claims = {
        "iss": "reports",
        "sub": "reports",
        "aud": ISS,
        "iat": now,
        "exp": now + 60,
        "jti": f"assertion-{next(_jtis)}",
        **changes,
    }
    present = {name: value for name, value in claims.items() if value is not None}
    return jws.sign_compact(present, key, typ)


def credentials(text: str, **more: str) -> dict[str, str]:
    form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": text, **more}
    return {name: value for name, value in form.items() if value}


async def ask(issuer: Issuer, text: str, **more: str) -> httpx.Response:
    form = {"grant_type": "client_credentials", **credentials(text, **more)}
    return await issuer.public.post("/oauth/token", data=form)


def outcome(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("error", "")


@pytest.fixture(autouse=True)
async def reports(issuer: Issuer) -> None:
    await issuer.clients.create_with_keys(
        "reports", ["orders"], ["tokens:introspect"], jwks={"keys": [public_jwk(KEY)]}
    )
    await issuer.clients.create_with_keys(
        "other", ["orders"], jwks={"keys": [public_jwk(OTHER_KEY)]}
    )


async def test_it_opens_every_endpoint(issuer: Issuer) -> None:
    answer = await ask(issuer, assertion())
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    assert issuer.verifier.verify(token).claims["client_id"] == "reports"
    introspected = await issuer.internal.post(
        "/oauth/introspect", data={"token": token, **credentials(assertion())}
    )
    assert introspected.json()["active"] is True
    revoked = await issuer.internal.post(
        "/oauth/revoke", data={"token": token, **credentials(assertion())}
    )
    assert outcome(revoked) == (503, "temporarily_unavailable")
    traded = await issuer.internal.post(
        "/oauth/token", data={"grant_type": "x", **credentials(assertion())}
    )
    assert outcome(traded) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("alg", ["RS256", "ES256", "Ed25519"])
async def test_by_every_algorithm(issuer: Issuer, alg: str) -> None:
    key = signer(alg, "reports")
    await issuer.clients.set_keys("reports", {"keys": [public_jwk(key)]})
    assert (await ask(issuer, assertion(key))).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"aud": TOKEN_ENDPOINT},
        {"aud": [ISS]},
        {"iat": None},
        {"nbf": int(time.time())},
        {"typ": "client-authentication+jwt"},
        {"more": {"of": "it"}},
    ],
)
async def test_assertions_that_are_good(issuer: Issuer, change: dict[str, Any]) -> None:
    assert (await ask(issuer, assertion(**change), client_id="reports")).status_code == 200


def in_s(seconds: int) -> int:
    return int(time.time()) + seconds


BAD: dict[str, Any] = {
    "another client's key": lambda: assertion(OTHER_KEY),
    "a name of ours on another key": lambda: _renamed(OTHER_KEY, KEY.kid),
    "in another client's name": lambda: assertion(iss="other"),
    "about another client": lambda: assertion(sub="other"),
    "about nobody": lambda: assertion(sub="nobody", iss="nobody"),
    "no subject": lambda: assertion(sub=None),
    "a subject that is a list": lambda: assertion(sub=["reports"]),
    "no issuer": lambda: assertion(iss=None),
    "no audience": lambda: assertion(aud=None),
    "an empty audience": lambda: assertion(aud=[]),
    "another server": lambda: assertion(aud="https://other.example"),
    "another server too": lambda: assertion(aud=[ISS, "https://other.example"]),
    "twice us": lambda: assertion(aud=[ISS, TOKEN_ENDPOINT]),
    "another path": lambda: assertion(aud=f"{ISS}/oauth/introspect"),
    "a longer name": lambda: assertion(aud=ISS + "/"),
    "no end": lambda: assertion(exp=None),
    "an end that is text": lambda: assertion(exp=str(in_s(60))),
    "an end that is true": lambda: assertion(exp=True),
    "expired": lambda: assertion(exp=in_s(-31)),
    "too long": lambda: assertion(exp=in_s(3640)),
    "not yet": lambda: assertion(nbf=in_s(60)),
    "from the future": lambda: assertion(iat=in_s(60)),
    "no jti": lambda: assertion(jti=None),
    "an empty jti": lambda: assertion(jti=""),
    "a long jti": lambda: assertion(jti="x" * 256),
    "an access token": lambda: assertion(typ=ACCESS_TOKEN_TYP),
    "no signature": lambda: assertion().rpartition(".")[0] + ".",
    "alg none": lambda: _unsigned(),
    "the signature of another": lambda: assertion()[:-86] + assertion()[-86:],
    "nonsense": lambda: "nonsense",
    "three segments of nonsense": lambda: "a.b.c",
    "too large": lambda: assertion(filler="x" * 8192),
}


def _renamed(key: PrivateKeySigner, kid: str) -> str:
    members = {"alg": key.alg, "kid": kid, "typ": "JWT"}
    body = assertion(key).split(".")[1]
    signed = f"{base64url.encode(strict_json.dumps(members))}.{body}"
    return f"{signed}.{base64url.encode(key.sign(signed.encode()))}"


def _unsigned() -> str:
    body = assertion().split(".")[1]
    head = base64url.encode(strict_json.dumps({"alg": "none", "kid": KEY.kid}))
    return f"{head}.{body}.AAAA"


@pytest.mark.parametrize("make", BAD.values(), ids=BAD)
async def test_assertions_that_are_not_good(issuer: Issuer, make: Any) -> None:
    text = make()
    answer = await ask(issuer, text)
    assert outcome(answer) == (401, "invalid_client")
    assert text not in answer.text
    assert await issuer.redis.keys("tocsin:assertion:*") == [], "nothing is burnt by a bad one"


async def test_it_is_used_once(issuer: Issuer) -> None:
    text = assertion()
    assert (await ask(issuer, text)).status_code == 200
    assert outcome(await ask(issuer, text)) == (401, "invalid_client")
    used = await issuer.internal.post("/oauth/revoke", data={"token": "x", **credentials(text)})
    assert outcome(used) == (401, "invalid_client"), "at no other endpoint either"
    (key,) = await issuer.redis.keys("tocsin:assertion:*")
    assert 60 < await issuer.redis.ttl(key) <= 60 + 60, "for longer than it could be used"


async def test_of_many_at_once_one_is_first(issuer: Issuer) -> None:
    text = assertion()
    answers = await asyncio.gather(*(ask(issuer, text) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19


async def test_a_jti_is_one_clients(issuer: Issuer) -> None:
    assert (await ask(issuer, assertion(jti="same"))).status_code == 200
    text = assertion(OTHER_KEY, iss="other", sub="other", jti="same")
    assert (await ask(issuer, text)).status_code == 200
    assert outcome(await ask(issuer, assertion(jti="same"))) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"client_id": "other"}, (401, "invalid_client")),
        ({"client_secret": "x"}, (400, "invalid_request")),
        ({"client_assertion_type": ""}, (400, "invalid_request")),
        ({"client_assertion": ""}, (400, "invalid_request")),
        ({"client_assertion_type": "urn:x"}, (401, "invalid_client")),
    ],
)
async def test_what_stands_beside_it(
    issuer: Issuer, more: dict[str, str], expected: tuple[int, str]
) -> None:
    assert outcome(await ask(issuer, assertion(), **more)) == expected


async def test_not_beside_a_header(issuer: Issuer) -> None:
    form = {"grant_type": "client_credentials", **credentials(assertion())}
    answer = await issuer.public.post("/oauth/token", data=form, auth=("reports", "x"))
    assert outcome(answer) == (400, "invalid_request")


async def test_a_host_that_the_sender_chose_is_no_audience(issuer: Issuer) -> None:
    text = assertion(aud="https://evil.example/oauth/token")
    answer = await issuer.public.post(
        "/oauth/token",
        data={"grant_type": "client_credentials", **credentials(text)},
        headers={"Host": "evil.example"},
    )
    assert outcome(answer) == (401, "invalid_client")


async def test_keys_and_a_secret_exclude_each_other(issuer: Issuer) -> None:
    grant = {"grant_type": "client_credentials"}
    secret = await issuer.clients.renew_secret("reports")
    assert outcome(await ask(issuer, assertion())) == (401, "invalid_client")
    by_secret = await issuer.public.post("/oauth/token", data=grant, auth=("reports", secret))
    assert by_secret.status_code == 200
    await issuer.clients.set_keys("reports", {"keys": [public_jwk(KEY)]})
    by_secret = await issuer.public.post("/oauth/token", data=grant, auth=("reports", secret))
    assert outcome(by_secret) == (401, "invalid_client")
    for empty in ("", "0" * 64):
        assert await issuer.clients.authenticate("reports", empty) is None
    assert (await ask(issuer, assertion())).status_code == 200


async def test_a_disabled_client(issuer: Issuer) -> None:
    await issuer.clients.set_disabled("reports", True)
    assert outcome(await ask(issuer, assertion())) == (401, "invalid_client")


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": []},
        {"keys": ["x"]},
        {"keys": [public_jwk(KEY), public_jwk(KEY)]},
        {"keys": [public_jwk(KEY), {"kty": "oct", "k": "AAAA"}]},
        {"keys": [{**public_jwk(KEY), "d": "AAAA"}]},
        {"keys": [{**public_jwk(KEY), "use": "enc"}]},
        {"keys": [public_jwk(KEY, kid=f"k{n}") for n in range(9)]},
    ],
)
async def test_keys_that_are_not_registered(issuer: Issuer, jwks: dict[str, Any]) -> None:
    with pytest.raises(RequestRejected) as caught:
        await issuer.clients.create_with_keys("new", ["orders"], jwks=jwks)
    assert caught.value.code == "client_keys"
    assert not await issuer.redis.exists(names.CLIENT + "new")


async def test_the_metadata_says_so(issuer: Issuer) -> None:
    path = "/.well-known/oauth-authorization-server"
    public = (await issuer.public.get(path)).json()
    assert "private_key_jwt" in public["token_endpoint_auth_methods_supported"]
    assert "none" in public["token_endpoint_auth_methods_supported"]
    answer = await issuer.internal.get(path)
    internal = answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert internal["issuer"] == public["issuer"] == ISS
    assert internal["jwks_uri"] == public["jwks_uri"]
    for endpoint in ("token", "revocation", "introspection"):
        methods = internal[f"{endpoint}_endpoint_auth_methods_supported"]
        public_too = ["none"] if endpoint == "revocation" else []
        assert methods == [
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
            *public_too,
        ]


async def test_the_metadata_names_what_answers(issuer: Issuer) -> None:
    """Each endpoint that a listener names is there, and each grant is known there alone."""
    path = "/.well-known/oauth-authorization-server"
    grants = {}
    for name, client in (("public", issuer.public), ("internal", issuer.internal)):
        members = (await client.get(path)).json()
        for endpoint in ("token", "revocation", "introspection"):
            url = members.get(f"{endpoint}_endpoint")
            if url is not None:
                answer = await client.post(url, data={"x": "y"})
                assert answer.status_code in (400, 401), url
        grants[name] = set(members["grant_types_supported"])
    assert grants["public"].isdisjoint(grants["internal"])
    for name, client in (("public", issuer.public), ("internal", issuer.internal)):
        for grant in grants["public"] | grants["internal"]:
            form = {"grant_type": grant, **credentials(assertion())}
            error = outcome(await client.post("/oauth/token", data=form))[1]
            assert (error == "unsupported_grant_type") == (grant not in grants[name])


def _nameless(key: PrivateKeySigner) -> str:
    """An assertion whose header names no key."""
    head = base64url.encode(strict_json.dumps({"alg": key.alg, "typ": "JWT"}))
    signed = f"{head}.{assertion(key).split('.')[1]}"
    return f"{signed}.{base64url.encode(key.sign(signed.encode()))}"


async def test_a_client_with_one_key_need_not_name_it(issuer: Issuer) -> None:
    assert outcome(await ask(issuer, _nameless(OTHER_KEY))) == (401, "invalid_client")
    assert (await ask(issuer, _nameless(KEY))).status_code == 200
    await issuer.clients.set_keys("reports", {"keys": [public_jwk(KEY), public_jwk(OTHER_KEY)]})
    assert outcome(await ask(issuer, _nameless(KEY))) == (401, "invalid_client"), "which of two?"


async def test_the_audience_may_be_a_configured_url_of_ours(
    redis: Redis, hasher: CountingHasher
) -> None:
    internal_url = "https://internal.example/issuer/"
    issuer = Issuer(redis, hasher, CONFIG.model_copy(update={"internal_url": internal_url}))
    for path, status in (("token", 200), ("revoke", 200), ("introspect", 200), ("other", 401)):
        answer = await ask(issuer, assertion(aud=f"{internal_url}oauth/{path}"))
        assert answer.status_code == status, path
    document = await issuer.internal.get("/.well-known/oauth-authorization-server")
    assert document.json()["token_endpoint"] == f"{internal_url}oauth/token"
    await issuer.aclose()
