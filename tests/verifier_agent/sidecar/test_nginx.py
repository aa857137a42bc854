"""The committed nginx configuration on a real nginx, where one is installed."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.ports import find_free
from tests.verifier_agent.sidecar import proxy_story
from tests.verifier_agent.sidecar.conftest import Host
from tests.verifier_agent.sidecar.running import Child, replaced, wait_for_port
from tocsin_verifier_agent.sidecar import headers

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
]
PROXIES = Path(__file__).parents[3] / "examples" / "proxies"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(host: Host, backend: int, folder: Path) -> AsyncIterator[int]:
    port = find_free()
    prefix = folder / "nginx"
    prefix.mkdir()
    text = replaced(
        (PROXIES / "nginx.conf").read_text(),
        {
            "listen 127.0.0.1:8080;": f"listen 127.0.0.1:{port};",
            "server 127.0.0.1:8000;": f"server 127.0.0.1:{backend};",
            "/run/tocsin/tocsin.sock": str(host.socket),
            "pid /run/nginx-orders.pid;": f"pid {prefix}/pid; daemon off; user {user()};",
            "access_log off;": "access_log off;"
            + "".join(
                f" {name}_temp_path {prefix}/{name};"
                for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            ),
        },
    )
    (prefix / "nginx.conf").write_text(text)
    shutil.copy(PROXIES / "tocsin-ask.conf", prefix)
    command = [str(NGINX), "-p", str(prefix), "-c", str(prefix / "nginx.conf"), "-e", "stderr"]
    child = Child(command, folder / "nginx.log", dict(os.environ))
    try:
        await asyncio.to_thread(wait_for_port, port, child)
        yield port
    finally:
        await asyncio.to_thread(child.end)


def user() -> str:
    """Workers that run as somebody else could not connect to the test's socket."""
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


async def test_the_configuration_names_every_header() -> None:
    text = (PROXIES / "nginx.conf").read_text()
    for name in headers.NAMES:
        plain = name.lower().removeprefix("x-").replace("-", "_")
        assert f"auth_request_set ${plain} $upstream_http_x_{plain};" in text
        assert f"proxy_set_header {name} ${plain};" in text


async def test_the_claims_reach_the_backend(host: Host, front: int) -> None:
    await proxy_story.the_claims_reach_the_backend(front, await host.token())


async def test_nothing_forged_reaches_the_backend(host: Host, front: int) -> None:
    paths = ("/orders", "/healthz")
    await proxy_story.nothing_forged_reaches_the_backend(front, await host.token(), paths)


async def test_refusals_pass_through(host: Host, front: int) -> None:
    await proxy_story.refusals_pass_through(host, front, await host.token())


async def test_the_inner_locations_are_not_for_clients(host: Host, front: int) -> None:
    for path in ("/_tocsin/any", "/_tocsin/admin"):
        assert (await proxy_story.through(front, path)).status == 404


async def test_a_revocation_holds(host: Host, front: int) -> None:
    await proxy_story.a_revocation_holds(host, front)


async def test_without_a_lease_nobody_gets_through(host: Host, front: int) -> None:
    await proxy_story.without_a_lease_nobody_gets_through(host, front)


async def test_without_a_sidecar_nobody_gets_through(host: Host, front: int) -> None:
    await proxy_story.without_a_sidecar_nobody_gets_through(host, front)
