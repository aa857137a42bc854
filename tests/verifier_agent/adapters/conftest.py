"""One stack for each file, an agent that is live, and one that has lost its lease.

Not one for the folder: its issuer lives in the tests' loop, which stands still while a worker is
busy with files from elsewhere, and every lease lapses meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.support import forge
from tests.support.stack import Stack, running_stack
from tests.verifier_agent.adapters.relay import Relay
from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.keys import kek
from tocsin_issuer.keys.key_store import KeyStore
from tocsin_schemas import jti
from tocsin_schemas.errors import AgentStale
from tocsin_schemas.keyset import Policy
from tocsin_verifier_agent import VerifierAgent

LEASE_S = 3.0
LEEWAY_S = 30


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("adapters")
    policy = Policy(lease_ms=int(LEASE_S * 1000), heartbeat_ms=200)
    async with running_stack(folder, policy, keys_age_s=3600) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(shared: Stack) -> AsyncIterator[VerifierAgent]:
    """An agent on a thread of its own."""
    agent = shared.agent()
    assert await asyncio.to_thread(agent.start)
    yield agent
    await asyncio.to_thread(agent.stop)


@dataclass
class Cuttable:
    """An agent in the running loop, behind a line that can be cut."""

    agent: VerifierAgent
    relay: Relay

    async def cut(self) -> None:
        """Return when the lease has lapsed."""
        self.relay.cut()
        for _ in range(1000):
            await asyncio.sleep(0.02)
            if self.agent.status().state.value == "stale":
                return
        raise AssertionError("the agent never went stale")


@pytest_asyncio.fixture(loop_scope="module")
async def cuttable(shared: Stack) -> AsyncIterator[Cuttable]:
    async with behind_a_relay(shared) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stale(shared: Stack) -> AsyncIterator[VerifierAgent]:
    """An agent that was live once."""
    async with behind_a_relay(shared) as found:
        await found.cut()
        with pytest.raises(AgentStale):
            found.agent.verify("nonsense")
        yield found.agent


class behind_a_relay:
    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    async def __aenter__(self) -> Cuttable:
        self._relay = Relay(self._stack.nats.port)
        await self._relay.start()
        text = (self._stack.folder / "orders.tocsin").read_text()
        path = self._stack.folder / f"orders-{self._relay.port}.tocsin"
        path.touch(mode=0o600)
        path.write_text(text.replace(f":{self._stack.nats.port}", f":{self._relay.port}"))
        self._agent = VerifierAgent.from_file(path)
        assert await self._agent.run_in_loop()
        return Cuttable(self._agent, self._relay)

    async def __aexit__(self, *_: object) -> None:
        await self._agent.leave_loop()
        await self._relay.stop()


@dataclass(repr=False)
class Tokens:
    """Tokens of the issuer's, and tokens that it would not issue any more."""

    good: str
    revoked: str
    expired: str
    stack: Stack

    async def fresh(self) -> str:
        return (await self.stack.log_in())["access_token"]

    async def revoke(self, token: str) -> None:
        answer = await self.stack.post("/v1/logout", token)
        assert answer.status_code == 200, answer.text

    def expiring(self, seconds: float, **changes: Any) -> str:
        """A token that verifiers accept for so many seconds from now."""
        return expiring(self.stack, kid_of(self.good), seconds, **changes)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tokens(shared: Stack, live: VerifierAgent) -> Tokens:
    good, revoked = await shared.log_in(), await shared.log_in()
    signed_with = kid_of(good["access_token"])
    expired = expiring(shared, signed_with, -1)
    # What was wrong with it must be its age alone.
    live.verify(expiring(shared, signed_with, 60))
    found = Tokens(good["access_token"], revoked["access_token"], expired, shared)
    await found.revoke(found.revoked)
    return found


def kid_of(token: str) -> str:
    header = token.split(".")[0]
    return str(json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"])


def expiring(stack: Stack, kid: str, seconds: float, **changes: Any) -> str:
    folder = stack.folder / ".tocsin" / "issuer"
    store = KeyStore(DataDir(folder / "keys"), kek.current(DataDir(folder)))
    now = int(time.time())
    exp = int(now - LEEWAY_S + seconds)
    iat = exp - 120
    lane = jti.lane(iat // jti.HOUR_S, b"adapters!")
    claims = {
        "iss": stack.development.public_url,
        "sub": "u_expiring",
        "aud": "orders",
        "client_id": "web",
        "iat": iat,
        "nbf": iat,
        "exp": exp,
        "jti": jti.compose(lane, now % 60_000, b"tail!"),
        "scope": "orders:read",
        **changes,
    }
    return forge.token(store.load(kid), claims)
