"""What anybody may read."""

from tests.issuer.http.conftest import ISS, SIGNER, Issuer
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
