"""Tokens that a verifier accepts, with ids of this process's lane."""

import multiprocessing
import os
import time
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.core.jti_allocator import JtiAllocator
from tocsin_issuer.keys.signer import PrivateKeySigner, generate
from tocsin_issuer.minting import Derivation, TokenMinter
from tocsin_issuer.store import names
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.register import Register
from tocsin_issuer.store.sessions import SessionStore
from tocsin_issuer.store.shown_token import issued_digest
from tocsin_schemas import jti
from tocsin_schemas.errors import RequestRejected
from tocsin_verifier_agent.verifier import Verifier

CONFIG = IssuerConfig(iss="https://issuer.example", default_audiences=("orders",))


class OneKey:
    def __init__(self, signer: PrivateKeySigner) -> None:
        self._signer = signer

    def active(self) -> PrivateKeySigner:
        return self._signer


@pytest.fixture(scope="module", params=["RS256", "ES256", "Ed25519"])
def signer(request: pytest.FixtureRequest) -> PrivateKeySigner:
    return generate(request.param)


@pytest.fixture
def verifier(signer: PrivateKeySigner) -> Verifier:
    jwk = {**signer.public.jwk, "kid": signer.kid}
    return Verifier.from_jwks({"keys": [jwk]}, issuer=CONFIG.iss, audience="orders")


@pytest.fixture
def minter(redis: Redis, signer: PrivateKeySigner) -> TokenMinter:
    return TokenMinter(OneKey(signer), Register(redis, CONFIG.max_token_life_s), CONFIG)


async def test_a_token_is_what_rfc_9068_asks_for(
    redis: Redis, minter: TokenMinter, verifier: Verifier, outbox: Outbox
) -> None:
    sessions = SessionStore(redis, outbox, idle_s=60, absolute_s=60, max_token_life_s=600)
    session = await sessions.create("alice", "app", ["orders"])
    minted = await minter.mint(
        "alice", "app", ["orders"], sid=session.sid, scope="a b", role="viewer", perms=["c"]
    )
    assert dict(verifier.verify(minted.token).claims) == {
        "iss": CONFIG.iss,
        "sub": "alice",
        "aud": "orders",
        "client_id": "app",
        "iat": minted.iat,
        "nbf": minted.iat,
        "exp": minted.iat + 600,
        "jti": minted.jti,
        "sid": session.sid,
        "scope": "a b",
        "role": "viewer",
        "perms": ["c"],
    }
    assert minted.expires_in == 600
    assert minted.token not in repr(minted)
    place = jti.parse(minted.jti)
    assert place is not None
    assert jti.issued_in_lane(place, minted.iat)
    digest = issued_digest(verifier.verify(minted.token).claims)
    entry = f"{session.sid}\n{session.client_id}\n{minted.iat}\n{digest}"
    assert await redis.get(names.REGISTER + minted.jti) == entry


async def test_a_bare_token(minter: TokenMinter, verifier: Verifier) -> None:
    minted = await minter.mint("reports", "reports", ["orders", "billing"], life_s=60)
    claims = verifier.verify(minted.token).claims
    assert claims["aud"] == ["orders", "billing"]
    assert claims["exp"] - claims["iat"] == 60
    assert {"sid", "scope", "role", "perms", "act", "orig"}.isdisjoint(claims)


async def test_a_derived_token_does_not_outlive_its_parent(
    minter: TokenMinter, verifier: Verifier
) -> None:
    parent = await minter.mint("alice", "app", ["orders"], life_s=100)
    act = {"sub": "front", "act": {"sub": "edge"}}
    derivation = Derivation.of(verifier.verify(parent.token), parent.token, act)
    assert derivation.actors() == ("front", "edge")
    minted = await minter.mint("alice", "front", ["orders"], derivation=derivation)
    claims = verifier.verify(minted.token).claims
    assert minted.exp == parent.exp
    assert claims["orig"] == {"jti": parent.jti, "iat": parent.iat}
    late = replace(derivation, not_after=parent.iat - 10)
    with pytest.raises(RequestRejected, match="expired"):
        await minter.mint("alice", "front", ["orders"], derivation=late)


@pytest.mark.parametrize("off_s", [-7200, 7200, 0])
async def test_a_host_whose_clock_is_wrong_follows_redis(
    redis: Redis, signer: PrivateKeySigner, verifier: Verifier, off_s: int
) -> None:
    register = Register(redis, CONFIG.max_token_life_s)
    minter = TokenMinter(OneKey(signer), register, CONFIG, wall_clock=lambda: time.time() + off_s)
    minted = await minter.mint("alice", "app", ["orders"])
    place = jti.parse(minted.jti)
    assert place is not None
    assert jti.issued_in_lane(place, minted.iat)
    verifier.verify(minted.token)


async def test_what_is_not_issued(minter: TokenMinter) -> None:
    for life_s, code in ((0, "token_life"), (3601, "token_life")):
        with pytest.raises(RequestRejected) as caught:
            await minter.mint("alice", "app", ["orders"], life_s=life_s)
        assert caught.value.code == code
    with pytest.raises(RequestRejected) as caught:
        await minter.mint("alice", "app", ["orders"], perms=["x" * 100] * 100)
    assert caught.value.code == "token_too_large"


_SHARED = JtiAllocator(os.urandom)


def drawn_lane() -> str:
    """The lane that this process counts in."""
    place = jti.parse(_SHARED.allocate(int(time.time()), os.getpid()))
    assert place is not None
    return jti.lane_of(place).hex()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_lanes_of_its_own() -> None:
    mine = drawn_lane()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        childs = {pool.apply(drawn_lane) for _ in range(2)}
    assert len(childs) == 1
    assert mine not in childs
