"""WSGI: what an application raises before and after it has sent something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.verifier_agent.adapters.contract import FORBIDDEN
from tests.verifier_agent.adapters.http_adapters import http_answer, serving
from tocsin_verifier_agent import wsgi
from tocsin_verifier_agent.testing import LocalIssuer


def at_once(environ: Any, start_response: Any) -> Iterator[bytes]:
    wsgi.caller("orders:admin")
    start_response("200 OK", [])
    yield b"secret"


def after_its_head(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("X-Secret", "1")])
    wsgi.caller("orders:admin")
    yield b"secret"


def no_generator(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("X-Secret", "1")])
    wsgi.caller("orders:admin")
    return [b"secret"]


def after_a_chunk(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"begun"
    wsgi.caller("orders:admin")


def protected(app: Any, issuer: LocalIssuer) -> Any:
    return wsgi.TocsinMiddleware(app, agent=issuer.agent, start_agent=False)


@pytest.mark.parametrize("app", [at_once, after_its_head, no_generator])
async def test_a_refusal_is_answered_as_long_as_nothing_was_sent(app: Any) -> None:
    issuer = LocalIssuer()
    headers = {"Authorization": f"Bearer {issuer.mint(perms=['orders:read'])}"}
    async with serving(protected(app, issuer)) as url, httpx.AsyncClient() as client:
        answer = await client.get(url, headers=headers)
        assert http_answer(answer) == FORBIDDEN
        assert "x-secret" not in answer.headers


def test_it_is_too_late_to_refuse_what_has_been_sent() -> None:
    issuer = LocalIssuer()
    environ = {
        "PATH_INFO": "/",
        "HTTP_AUTHORIZATION": f"Bearer {issuer.mint(perms=['orders:read'])}",
    }
    begun: list[str] = []
    body = protected(after_a_chunk, issuer)(environ, lambda status, *_: begun.append(status))
    assert next(body) == b"begun"
    with pytest.raises(wsgi.Refused):
        next(body)
    assert begun == ["200 OK"]
