"""What an exchange asks and is answered, over whatever it goes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tocsin_schemas.errors import ExchangeRefused, ExchangeUnavailable
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE
from tocsin_verifier_agent.core.token_verifier import MAX_TOKEN_LENGTH

TIMEOUT_S: Final = 5.0
MAX_RETRY_AFTER_S: Final = 60
MAX_LIFE_S: Final = 24 * 3600
_WORD: Final = re.compile(r"[a-z][a-z_]{0,63}")


@dataclass(frozen=True, slots=True, repr=False)
class Question:
    """``scopes`` is None for whatever may be passed on."""

    subject_token: str
    audience: str
    scopes: tuple[str, ...] | None

    @property
    def scope(self) -> str | None:
        """The scopes as one parameter (RFC 6749 section 3.3)."""
        return None if self.scopes is None else " ".join(self.scopes)


@dataclass(frozen=True, slots=True, repr=False)
class ExchangedToken:
    """A token for one other service.

    Attributes:
        token: the compact JWS. It has no place in a log.
        scopes: what it allows there.
        expires_in: seconds, from when the issuer was asked.
    """

    token: str
    scopes: frozenset[str]
    expires_in: int

    @property
    def headers(self) -> dict[str, str]:
        """The header of a request to that service (RFC 6750 section 2.1)."""
        return {"Authorization": f"Bearer {self.token}"}


class ExchangeTransport(Protocol):
    """A way to the issuer, for one event loop."""

    async def open(self) -> None:
        """Make ready, in the running event loop.

        Raises:
            ConfigurationError: certificates or a secret are missing or wrong.
        """
        ...

    async def close(self) -> None:
        """Give up what is under way."""
        ...

    async def exchange(self, question: Question) -> ExchangedToken:
        """Ask the issuer.

        Raises:
            ExchangeRefused: it says no.
            ExchangeUnavailable: it does not answer, or not to the question.
        """
        ...


def exchanged(members: Mapping[str, Any], question: Question) -> ExchangedToken:
    """Read the members of RFC 8693 section 2.2.1; ``scope`` may be missing where it is as asked.

    Raises:
        ExchangeUnavailable: ``exchange_answer``.
    """
    token, life = members.get("access_token"), members.get("expires_in")
    kind, scheme = members.get("issued_token_type"), members.get("token_type")
    scope = members.get("scope", question.scope or "")
    if not (
        type(token) is str
        and 0 < len(token) <= MAX_TOKEN_LENGTH
        and type(life) is int
        and 0 < life <= MAX_LIFE_S
        and kind == ACCESS_TOKEN_TYPE
        and type(scheme) is str
        and scheme.lower() == "bearer"
        and type(scope) is str
    ):
        raise ExchangeUnavailable("exchange_answer")
    return ExchangedToken(token, frozenset(scope.split()), life)


def refused(error: object, code: object) -> ExchangeRefused | ExchangeUnavailable:
    """What the issuer's words mean; they go into logs, so they must be words."""
    if type(error) is not str or not _WORD.fullmatch(error):
        return ExchangeUnavailable("exchange_answer")
    known = type(code) is str and _WORD.fullmatch(code)
    return ExchangeRefused(error, str(code) if known else error)


def unavailable(retry_after: object) -> ExchangeUnavailable:
    """The issuer cannot say; ``retry_after`` is its text, in seconds."""
    text = retry_after if type(retry_after) is str else ""
    seconds = int(text) if re.fullmatch(r"[0-9]{1,5}", text) else 1
    return ExchangeUnavailable("exchange_unavailable", min(max(1, seconds), MAX_RETRY_AFTER_S))
