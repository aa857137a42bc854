"""A server that plays ten issuers, and agents that accept them: what two suites stand on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Stack
from tests.issuer.foreign.dialects import DIALECTS, LIBRARIES, Dialect, Signer
from tests.issuer.foreign.provider import Provider
from tests.issuer.foreign.provider import provider as serving
from tocsin_schemas.errors import TokenRejected
from tocsin_verifier_agent import VerifierAgent

AUDIENCE = "api://orders"
COMMON_KEYS = "/common"  # two tenants of one provider share them
TENANTS = ("https://entra.example/tenant-1/v2.0", "https://entra.example/tenant-2/v2.0")


def iss_of(dialect: str, library: str) -> str:
    return f"https://{dialect}.{library}.example/"


class Providers:
    """One server that plays eight issuers, each with a key of its own, and two tenants."""

    def __init__(self, server: Provider) -> None:
        self.server = server
        self.keys: dict[str, Signer] = {}
        self.dialects: dict[str, Dialect] = {}
        self.paths: dict[str, str] = {}
        for number, (dialect, library) in enumerate(
            (dialect, library) for dialect in DIALECTS.values() for library in LIBRARIES
        ):
            iss = iss_of(dialect.name, library)
            self._add(iss, dialect, f"/{dialect.name}/{library}", signer(library, "key-1", number))
        shared = signer("pyjwt", "shared", 20)
        for tenant in TENANTS:
            self._add(tenant, DIALECTS["entra"], COMMON_KEYS, shared)

    def _add(self, iss: str, dialect: Dialect, path: str, key: Signer) -> None:
        self.keys[iss], self.dialects[iss], self.paths[iss] = key, dialect, path
        self.server.publish(path, key.jwk())

    def toml(self) -> str:
        tables = [
            f'[[foreign_issuers]]\niss = "{iss}"\njwks_uri = "{self.server.base}{path}"\n'
            f'profile = "{self.dialects[iss].name}"\n'
            for iss, path in self.paths.items()
        ]
        settings = "foreign_token_life_s = 5400\nforeign_refresh_s = 1\nforeign_least_pause_s = 1\n"
        return settings + "\n".join(tables)

    def token(self, iss: str, *, key: Signer | None = None, **changes: Any) -> str:
        dialect, now = self.dialects[iss], int(time.time())
        named, aud = changes.pop("named", iss), changes.pop("aud", AUDIENCE)
        claims = dialect.access(named, aud, now - 10, **changes)
        return (self.keys[iss] if key is None else key).sign(claims, dialect.typ)


def signer(library: str, kid: str, number: int) -> Signer:
    return LIBRARIES[library](kid, number)


@contextmanager
def configured(folder: Path) -> Iterator[Providers]:
    """Providers that serve until the end of the block, named in a stack's folder to be."""
    with serving() as server:
        providers = Providers(server)
        folder.mkdir(mode=0o700)
        (folder / "issuers.toml").write_text(providers.toml())
        yield providers


def agent_of(stack: Stack, providers: Providers, *, without: str | None = None) -> VerifierAgent:
    """One that accepts all of these issuers, as its file says."""
    path = stack.folder / "orders.tocsin"
    text = path.read_text()
    for iss in providers.keys:
        if iss != without:
            text += f'\n[[issuers]]\nissuer = "{iss}"\naudiences = ["{AUDIENCE}"]\n'
    other = stack.folder / "foreign.tocsin"
    other.write_text(text)
    other.chmod(0o600)
    return VerifierAgent.from_file(other)


async def code_of(agent: VerifierAgent, token: str) -> str:
    """What the agent says of a token now."""
    try:
        agent.verify(token)
    except TokenRejected as rejected:
        return rejected.code
    return "accepted"


async def until(agent: VerifierAgent, token: str, code: str) -> None:
    """Wait until the agent says so."""
    deadline = time.monotonic() + 30
    said = await code_of(agent, token)
    while said != code:
        assert time.monotonic() < deadline, f"{said}, not {code}"
        await asyncio.sleep(0.02)
        said = await code_of(agent, token)


async def imported(stack: Stack, agent: VerifierAgent, providers: Providers) -> None:
    """Wait until all keys have come through the ledger."""
    for iss in providers.keys:
        await until(agent, providers.token(iss), "accepted")
