"""The token that came with a request, and whose it is."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from tocsin_schemas.errors import (
    AgentStale,
    ExchangeRefused,
    ExchangeUnavailable,
    TokenRejected,
)
from tocsin_schemas.token_exchange import SUBJECT_TOKEN_INVALID
from tocsin_verifier_agent.adapters import bearer
from tocsin_verifier_agent.adapters.bearer import Refused
from tocsin_verifier_agent.authenticator import Authenticator
from tocsin_verifier_agent.core.confirmation import PeerCertificate
from tocsin_verifier_agent.core.leniency import OnStale
from tocsin_verifier_agent.core.verified import Verified

if TYPE_CHECKING:
    from tocsin_verifier_agent.exchange import ExchangeClient, ExchangedToken

_log = logging.getLogger("tocsin.adapters")

_STRICTEST_FIRST: Final[tuple[OnStale, ...]] = ("reject", "introspect", "accept")


class Presented:
    """A token that its agent has accepted, to be looked at again with other demands.

    Its text stays in here: it must not reach a log or an error by way of a request's attributes.
    The strictest demand made so far also holds for a connection that outlives its request.
    """

    __slots__ = (
        "_agent",
        "_certificate",
        "_demanded",
        "_max_staleness",
        "_on_stale",
        "_route",
        "_token",
        "_verified",
    )

    def __init__(
        self,
        agent: Authenticator,
        token: str,
        verified: Verified,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> None:
        """``on_stale`` is what the middleware does on this path, in place of the agent's file;
        ``certificate`` is what its bearer has shown.
        """
        self._agent = agent
        self._token = token
        self._verified = verified
        self._certificate = certificate
        self._route: OnStale | None = on_stale
        self._max_staleness: float | None = None
        self._demanded = False
        self._on_stale: OnStale | None = on_stale

    @property
    def verified(self) -> Verified:
        """What its agent said of it last."""
        return self._verified

    async def verify(
        self, max_staleness: float | None = None, on_stale: OnStale | None = None
    ) -> Verified:
        """As :meth:`Authenticator.authenticate`; from an agent's cache, in about a microsecond."""
        self.demand(max_staleness, on_stale)
        if max_staleness is None and on_stale is None:
            on_stale = self._route
        self._verified = await self._agent.authenticate(
            self._token, max_staleness, on_stale, self._certificate
        )
        return self._verified

    def verify_blocking(
        self, max_staleness: float | None = None, on_stale: OnStale | None = None
    ) -> Verified:
        """As :meth:`verify`, for threads without an event loop."""
        self.demand(max_staleness, on_stale)
        if max_staleness is None and on_stale is None:
            on_stale = self._route
        self._verified = self._agent.authenticate_blocking(
            self._token, max_staleness, on_stale, self._certificate
        )
        return self._verified

    async def require(
        self,
        *permissions: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
    ) -> Verified:
        """As :meth:`verify`; the token must also hold every permission, in ``perms`` or ``scope``.

        Raises:
            Refused: with the answer to give.
        """
        try:
            verified = await self.verify(max_staleness, on_stale)
        except (TokenRejected, AgentStale) as error:
            raise Refused(bearer.refusal_of(error)) from None
        return allowed(verified, permissions)

    def require_blocking(
        self,
        *permissions: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
    ) -> Verified:
        """As :meth:`require`, for threads without an event loop."""
        try:
            verified = self.verify_blocking(max_staleness, on_stale)
        except (TokenRejected, AgentStale) as error:
            raise Refused(bearer.refusal_of(error)) from None
        return allowed(verified, permissions)

    async def exchange(
        self, by: ExchangeClient, audience: str, scopes: Iterable[str] | None = None
    ) -> ExchangedToken:
        """The token exchanged for one that another service accepts; it is looked at by the
        strictest demand made so far.

        Raises:
            Refused: with the answer to give where the token is not good, does not allow that much,
                or nobody can say now.
            ExchangeRefused: the issuer lets this service do no such thing, whoever calls it.
        """
        wanted = None if scopes is None else tuple(scopes)
        try:
            return await by.exchange(
                self._token,
                audience,
                wanted,
                max_staleness=self._max_staleness,
                on_stale=self._on_stale,
                certificate=self._certificate,
            )
        except (TokenRejected, AgentStale) as error:
            raise Refused(bearer.refusal_of(error)) from None
        except ExchangeUnavailable as error:
            raise Refused(bearer.stale(error)) from None
        except ExchangeRefused as error:
            if error.code == SUBJECT_TOKEN_INVALID:  # our agent lags behind the issuer
                raise Refused(bearer.BAD_TOKEN) from None
            if error.error == "invalid_scope":
                raise Refused(bearer.insufficient_scope(" ".join(wanted or ()))) from None
            raise

    async def until_refused(self) -> TokenRejected | AgentStale:
        """Wait until it is refused by the strictest demand made so far, and return why.

        Nothing is raised: a connection that cannot be watched must not go on.
        """
        try:
            return await self._agent.until_refused(
                self._token, self._max_staleness, self._on_stale, self._certificate
            )
        except Exception as error:
            return _unwatched(error)

    async def refused(self) -> TokenRejected | AgentStale | None:
        """Ask again by the strictest demand made so far; return why it is refused, if it is.

        Nothing is raised: what cannot be looked at must not go on.
        """
        try:
            await self._agent.authenticate(
                self._token, self._max_staleness, self._on_stale, self._certificate
            )
        except (TokenRejected, AgentStale) as refusal:
            return refusal
        except Exception as error:
            return _unwatched(error)
        return None

    def refused_now(self) -> TokenRejected | AgentStale | None:
        """Look again by the strictest demand made so far; return why it is refused, if it is.

        Nothing is raised: a stream that cannot be looked at must not go on.
        """
        try:
            self._agent.verify(self._token, self._max_staleness, self._on_stale, self._certificate)
        except (TokenRejected, AgentStale) as refusal:
            return refusal
        except Exception as error:
            return _unwatched(error)
        return None

    def demand(self, max_staleness: float | None, on_stale: OnStale | None) -> None:
        """Demand this of a connection that outlives its request."""
        if max_staleness is not None and (
            self._max_staleness is None or max_staleness < self._max_staleness
        ):
            self._max_staleness = max_staleness
        if max_staleness is None and on_stale is None:
            return
        wanted = "reject" if on_stale is None else on_stale
        # What a path is allowed is not what a demand allows.
        if not self._demanded or _STRICTEST_FIRST.index(wanted) < _STRICTEST_FIRST.index(
            self._on_stale or wanted
        ):
            self._on_stale = wanted
        self._demanded = True


def _unwatched(error: Exception) -> AgentStale:
    _log.error("a connection cannot be watched: %s", type(error).__name__)
    return AgentStale("unwatched")


# Set by the adapters whose handlers get no request object that could carry it.
PRESENTED: ContextVar[Presented | None] = ContextVar("tocsin_presented", default=None)


def caller(*permissions: str) -> Verified:
    """Whose request is being handled, as its agent last said.

    Raises:
        Refused: this is a public path or method (401), or a permission is missing (403).
    """
    return allowed(presented().verified, permissions)


def presented() -> Presented:
    """The token of the request that is being handled.

    Raises:
        Refused: 401; there is none, for this is a public path or method.
    """
    found = PRESENTED.get()
    if found is None:
        raise Refused(bearer.NO_TOKEN)
    return found


def allowed(verified: Verified, permissions: Iterable[str]) -> Verified:
    """The token again, if it holds every permission.

    Raises:
        Refused: 403.
    """
    needed = sorted(set(permissions))
    if not verified.allows(*needed):
        raise Refused(bearer.insufficient_scope(" ".join(needed)))
    return verified
