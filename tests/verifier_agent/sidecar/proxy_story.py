"""What holds behind every proxy: told once, and run against each of them."""

import asyncio
import json
import signal
import time
from collections.abc import Iterable

from tests.verifier_agent.sidecar.conftest import Host
from tests.verifier_agent.sidecar.running import Answer, ask, bearer
from tests.verifier_agent.sidecar.smuggling import FORGED, attempts
from tocsin_schemas import base64url
from tocsin_verifier_agent.sidecar import headers

NAMES = frozenset(name.lower() for name in headers.NAMES)


async def through(
    port: int, path: str, *fields: tuple[str, str], method: str = "GET", body: bytes = b""
) -> Answer:
    return await asyncio.to_thread(ask, port, path, fields, method, body)


async def until_accepted(port: int, token: str) -> None:
    """The bus may have been away a moment ago."""
    deadline = time.monotonic() + 15
    while (await through(port, "/orders", bearer(token))).status != 200:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def the_claims_reach_the_backend(port: int, token: str) -> None:
    claims = json.loads(base64url.decode(token.split(".")[1]))
    for method, body in (("GET", b""), ("POST", b"x" * 100_000)):
        answer = await through(port, "/orders/1?a=b", bearer(token), method=method, body=body)
        assert answer.status == 200, answer
        given = answer.claims()
        assert given["x-tocsin-subject"] == claims["sub"]
        assert given["x-tocsin-token-id"] == claims["jti"]
        assert given["x-tocsin-issuer"] == claims["iss"]
        assert "orders:read" in given["x-tocsin-permissions"].split()
        assert given.get("x-tocsin-unproven", "") == ""
        assert json.loads(answer.body)["path"] == "/orders/1?a=b"
        assert "authorization" not in {name.lower() for name, _ in answer.echoed}


async def nothing_forged_reaches_the_backend(
    port: int, token: str, paths: Iterable[str] = ("/orders",)
) -> None:
    """With a good token, the claims are the token's whatever the client says they are; a request
    may be refused outright too. On a path without authentication there are no claims at all.
    """
    accepted = 0
    for path in paths:
        good = (await through(port, path, bearer(token))).claims()
        for name, fields in attempts():
            answer = await through(port, path, bearer(token), *fields)
            assert answer.status in (200, 400), (name, answer.status)
            if answer.status != 200:
                continue
            accepted += 1
            assert FORGED.encode() not in answer.body, name
            given = answer.claims()
            assert given.keys() <= NAMES, name
            for given_claims in (given, good):
                given_claims.pop("x-tocsin-valid-until", None)
            assert given == good, name
    assert accepted > 50, "the attempts that get through are what this is about"


async def refusals_pass_through(host: Host, port: int, token: str) -> None:
    answer = await through(port, "/orders")
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="tocsin"'
    answer = await through(port, "/orders", bearer(token[:-4] + "AAAA"))
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    answer = await through(port, "/orders", bearer(token), bearer(token))
    assert answer.status in (400, 401), "one of two tokens was chosen"
    answer = await through(port, "/admin", bearer(token))
    assert answer.status == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    loosened = ("X-Tocsin-Require", "orders:read")
    assert (await through(port, "/admin", bearer(token), loosened)).status == 403
    assert (await through(port, "/admin?require=orders:read", bearer(token))).status == 403
    assert (await through(port, "/orders?require=no:such", bearer(token))).status == 200
    assert (await through(port, "/healthz")).status == 200


async def a_revocation_holds(host: Host, port: int) -> None:
    token = await host.token()
    await until_accepted(port, token)
    assert (await host.stack.post("/v1/logout", token)).status_code == 200
    done = time.monotonic()
    while (answer := await through(port, "/orders", bearer(token))).status == 200:
        assert time.monotonic() < done + 1.0
    assert answer.status == 401


async def without_a_lease_nobody_gets_through(host: Host, port: int) -> None:
    token = await host.token()
    await until_accepted(port, token)
    host.stack.nats.pause()
    try:
        deadline = time.monotonic() + 8
        while (answer := await through(port, "/orders", bearer(token))).status == 200:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    finally:
        host.stack.nats.resume()
    await until_accepted(port, token)


async def without_a_sidecar_nobody_gets_through(host: Host, port: int) -> None:
    """The last: the sidecar is stopped, and then killed."""
    token = await host.token()
    await until_accepted(port, token)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        host.child.process.send_signal(number)
        for fields in ((), (bearer(token),), (bearer(token), ("X-Tocsin-Subject", FORGED))):
            answer = await through(port, "/orders", *fields)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert FORGED.encode() not in answer.body
