"""What anybody may read."""

import pytest
from redis.asyncio import Redis

from tests.issuer.conftest import CountingHasher
from tests.issuer.http.conftest import CONFIG, ISS, SIGNER, Issuer
from tocsin_verifier_agent.verifier import Verifier


async def test_the_keys_verify_our_tokens(issuer: Issuer) -> None:
    await issuer.alice()
    token = (await issuer.login())["access_token"]
    answer = await issuer.public.get("/.well-known/jwks.json")
    assert answer.headers["Content-Type"] == "application/jwk-set+json"
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert "Pragma" not in answer.headers
    verifier = Verifier.from_jwks(answer.content, issuer=ISS, audience="orders")
    assert verifier.verify(token).claims["iss"] == ISS
    assert answer.json()["keys"][0]["kid"] == SIGNER.kid


async def test_the_keys_as_pem(issuer: Issuer) -> None:
    answer = await issuer.public.get("/.well-known/jwks.pem")
    assert answer.headers["Content-Type"].startswith("application/x-pem-file")
    assert answer.text.startswith("-----BEGIN PUBLIC KEY-----")


async def test_the_metadata(issuer: Issuer) -> None:
    answer = await issuer.public.get("/.well-known/oauth-authorization-server")
    members = answer.json()
    assert members["issuer"] == ISS
    assert members["token_endpoint"] == f"{ISS}/oauth/token"
    assert members["jwks_uri"] == f"{ISS}/.well-known/jwks.json"
    assert members["response_types_supported"] == []


@pytest.mark.parametrize(
    ("iss", "path"),
    [
        ("https://issuer.example/tenant", "/tenant"),
        ("https://issuer.example/a/b/", "/a/b"),
        ("https://issuer.example/", None),
        ("urn:issuer:example", None),
    ],
)
async def test_the_metadata_of_a_name_with_a_path(
    redis: Redis, hasher: CountingHasher, iss: str, path: str | None
) -> None:
    """RFC 8414 section 3.1 puts the well-known part between host and path."""
    issuer = Issuer(redis, hasher, CONFIG.model_copy(update={"iss": iss}))
    where = "/.well-known/oauth-authorization-server"
    plain = await issuer.public.get(where)
    if path is not None:
        answer = await issuer.public.get(where + path)
        assert (answer.status_code, answer.json()) == (200, plain.json())
        assert answer.json()["issuer"] == iss
    for other in ("/other", "/urn:issuer:example", f"{path}/x"):
        assert (await issuer.public.get(where + other)).status_code == 404
    await issuer.aclose()


async def test_health_and_readiness_on_both(issuer: Issuer) -> None:
    for client in (issuer.public, issuer.internal):
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).status_code == 200
    issuer.ready = False
    for client in (issuer.public, issuer.internal):
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "not ready"})


async def test_every_answer_carries_the_security_headers(issuer: Issuer) -> None:
    for path in ("/healthz", "/nowhere", "/.well-known/jwks.json"):
        headers = (await issuer.public.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "Cache-Control" in headers
