"""RS256, ES256 and Ed25519 in one keyset, and a rotation from each to the next."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from tests.e2e.ceremonies import hold_one
from tests.e2e.conftest import LEASE_S, Stack
from tests.support.rejected import rejected
from tocsin_schemas import jws
from tocsin_verifier_agent import Verifier


async def test_a_rotation_across_algorithms(stack: Stack) -> None:
    wanted = {"rotations": 4, "algs": ["ES256", "Ed25519", "RS256"], "every_s": 600}
    keyset = await hold_one(stack, {**wanted})

    planned = (await stack.admin("GET", "/admin/keys")).json()["keys"]
    assert [key["phase"] for key in planned] == ["active", "standby", *["pending"] * 3]
    assert [key["alg"] for key in planned] == ["RS256", "RS256", "ES256", "Ed25519", "RS256"]
    ends = [key["turn_ends"] for key in planned]
    assert [round(after - before) for before, after in pairwise(ends[:4])] == [600] * 3

    logins = [await stack.log_in()]
    async with stack.agent() as agent:
        early = await stack.admin("POST", "/admin/keys/rotate")
        assert early.status_code == 200  # the standby of before is old enough
        early = await stack.admin("POST", "/admin/keys/rotate")
        assert (early.status_code, early.json()["code"]) == (409, "standby_too_young")  # I9
        logins.append(await stack.log_in())
        await asyncio.sleep(LEASE_S + 1.1)
        for key in planned[2:]:
            answer = await stack.admin("POST", "/admin/keys/rotate")
            assert answer.json() == {"kid": key["kid"]}
            logins.append(await stack.log_in())
        found = (
            await stack.http.get(f"{stack.development.public_url}/.well-known/jwks.json")
        ).json()
        offline = Verifier.from_jwks(found, issuer=keyset.iss, audience="orders")
        for login, key in zip(logins, planned, strict=True):
            token = login["access_token"]
            header = jws.parse_header(token.split(".", 1)[0])
            assert (header.kid, header.alg) == (key["kid"], key["alg"])
            assert agent.verify(token).claims == offline.verify(token).claims
        answer = await stack.post("/v1/logout", logins[2]["access_token"])
        assert answer.status_code == 200
        assert await rejected(agent, logins[2]["access_token"]) == "session_revoked"
        # The last one listed signs, and the roots are at hand: the issuer publishes another.
        now = (await stack.admin("GET", "/admin/keys")).json()
        assert now["keyset"]["version"] == 3
        assert now["keys"][-1]["phase"] == "pending"
