"""The parameters of an exchange (RFC 8693 section 2.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE, JWT_TYPE

TARGETS: Final = frozenset(("audience", "resource"))
_ACCEPTED_TYPES: Final = frozenset((ACCESS_TOKEN_TYPE, JWT_TYPE))  # ours are both


@dataclass(frozen=True, slots=True, repr=False)
class ExchangeRequest:
    """What a client asks for; it holds tokens, so it has no repr. ``scopes`` is None where the
    client asks for whatever it may have.
    """

    subject_token: str
    actor_token: str | None
    audience: str | None
    resource: str | None
    scopes: tuple[str, ...] | None

    @classmethod
    def from_form(cls, form: Mapping[str, str]) -> Self:
        """Read the parameters of a form.

        Raises:
            RequestRejected: ``invalid_request``.
        """
        subject_token = form.get("subject_token")
        if subject_token is None or form.get("subject_token_type") not in _ACCEPTED_TYPES:
            raise _invalid("subject_token and its type are needed; the type is that of our tokens")
        actor_token, actor_type = form.get("actor_token"), form.get("actor_token_type")
        if (actor_token is None) != (actor_type is None):
            raise _invalid("actor_token and actor_token_type come together")
        if actor_type is not None and actor_type not in _ACCEPTED_TYPES:
            raise _invalid("the type of actor_token is not supported")
        if form.get("requested_token_type", ACCESS_TOKEN_TYPE) != ACCESS_TOKEN_TYPE:
            raise _invalid("only access tokens are issued")
        if "audience" not in form and "resource" not in form:
            raise _invalid("audience or resource is needed")
        scope = form.get("scope")
        return cls(
            subject_token,
            actor_token,
            form.get("audience"),
            form.get("resource"),
            None if scope is None else tuple(dict.fromkeys(scope.split(" "))),
        )


def several_targets() -> RequestRejected:
    """RFC 8693 section 2.1 lets a client name several. A token is for one audience here, so none of
    them is chosen.
    """
    return RequestRejected("invalid_target", "a token is for one target")


def _invalid(text: str) -> RequestRejected:
    return RequestRejected("invalid_request", text)
