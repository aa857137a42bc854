"""What a caller sees, whatever the framework: one table for every adapter."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from tests.verifier_agent.adapters.conftest import Tokens
from tocsin_verifier_agent import VerifierAgent

INVALID_CHALLENGE: Final = (
    'Bearer realm="tocsin", error="invalid_token", '
    'error_description="the access token is not valid"'
)


@dataclass(frozen=True)
class Answer:
    """A field is None where the protocol has no place for it."""

    status: int
    description: str | None = None
    error: str | None = None
    challenge: str | None = None
    retry_after: str | None = None
    content_type: str | None = None
    cache_control: str | None = None


# Path, Authorization values -> answer. "/orders" needs orders:read, which the tokens have, "/admin"
# needs orders:admin, "/money" a proof that is no older than nothing at all; "/healthz" is public.
Ask = Callable[[str, Sequence[str]], Awaitable[Answer]]
Adapter = Callable[[VerifierAgent], AbstractAsyncContextManager[Ask]]


def refusal(status: int, error: str, description: str, **headers: str) -> Answer:
    return Answer(
        status,
        description,
        error,
        content_type="application/json",
        cache_control="no-store",
        **headers,
    )


NO_TOKEN: Final = refusal(
    401, "invalid_request", "an access token is needed", challenge='Bearer realm="tocsin"'
)
BAD: Final = refusal(
    401, "invalid_token", "the access token is not valid", challenge=INVALID_CHALLENGE
)
FORBIDDEN: Final = refusal(
    403,
    "insufficient_scope",
    "this needs orders:admin",
    challenge='Bearer realm="tocsin", error="insufficient_scope", scope="orders:admin"',
)
STALE: Final = refusal(
    503,
    "temporarily_unavailable",
    "the verifier cannot prove that it is up to date",
    retry_after="1",
)
GOOD: Final = Answer(200)


def cases(tokens: Tokens) -> dict[str, tuple[str, list[str], Answer]]:
    good = f"Bearer {tokens.good}"
    tampered = tokens.good[:-8] + ("AAAAAAAA" if tokens.good[-8:] != "AAAAAAAA" else "BBBBBBBB")
    bound = tokens.expiring(60, cnf={"x5t#S256": "a" * 43})
    return {
        "good": ("/orders", [good], GOOD),
        "good, in small letters": ("/orders", [f"bearer {tokens.good}"], GOOD),
        "public": ("/healthz", [], GOOD),
        "public, whatever is sent": ("/healthz", ["Bearer nonsense"], GOOD),
        "no token": ("/orders", [], NO_TOKEN),
        "two headers": ("/orders", [good, good], NO_TOKEN),
        "two headers, a good one last": ("/orders", ["Bearer nonsense", good], NO_TOKEN),
        "Basic": ("/orders", ["Basic YWxpY2U6c2VjcmV0"], NO_TOKEN),
        "a scheme alone": ("/orders", ["Bearer"], NO_TOKEN),
        "the token alone": ("/orders", [tokens.good], NO_TOKEN),
        "nonsense": ("/orders", ["Bearer nonsense"], BAD),
        "tampered": ("/orders", [f"Bearer {tampered}"], BAD),
        "expired": ("/orders", [f"Bearer {tokens.expired}"], BAD),
        "bound to a certificate that nobody shows": ("/orders", [f"Bearer {bound}"], BAD),
        "revoked": ("/orders", [f"Bearer {tokens.revoked}"], BAD),
        "revoked, and not allowed anyway": ("/admin", [f"Bearer {tokens.revoked}"], BAD),
        "a missing permission": ("/admin", [good], FORBIDDEN),
        "too fresh a proof demanded": ("/money", [good], STALE),
    }


def cases_of_a_stale_agent(tokens: Tokens) -> dict[str, tuple[str, list[str], Answer]]:
    return {
        "good": ("/orders", [f"Bearer {tokens.good}"], STALE),
        "nonsense": ("/orders", ["Bearer nonsense"], STALE),
        "a missing permission": ("/admin", [f"Bearer {tokens.good}"], STALE),
        "no token": ("/orders", [], NO_TOKEN),
        "public": ("/healthz", [], GOOD),
    }
