"""The errors of all four packages, under one root, each with a stable code.

::

    TocsinError
    ├── ConfigurationError   a file, directory or setting of the operator's
    ├── EncodingRejected     text that is not strict base64url or strict JSON
    ├── KeyRejected          a public key that is malformed, weak or of an unknown kind
    ├── JwsRejected          text that is not a JWS signed by one of the keys given
    ├── DocumentRejected     a keyset, or a root change, that the trusted roots did not sign
    ├── LedgerRejected       a record or heartbeat that does not fit the chain
    │   └── LedgerHalted     … and after which nothing may be believed until somebody has looked
    ├── TokenRejected        an access token that must not be accepted
    ├── AgentStale           the agent cannot prove that it is up to date
    ├── ExchangeRefused      the issuer does not exchange a token for a service
    ├── ExchangeUnavailable  nobody can say now whether it would
    └── RequestRejected      a request to the issuer that is refused

``code`` is stable and fit for metrics and logs. No message holds a token, a secret or a claim.
"""


class TocsinError(Exception):
    """The root. ``code`` is a stable identifier, ``message`` one line for people."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code


class ConfigurationError(TocsinError):
    """A file, directory or setting of the operator's is wrong; the message says which and how."""


class EncodingRejected(TocsinError):
    """Text that is not strict base64url or strict JSON."""


class KeyRejected(TocsinError):
    """A public key that is malformed, weak, or of a kind that Tocsin does not use."""


class JwsRejected(TocsinError):
    """Text that is not a compact JWS signed by one of the keys given."""


class DocumentRejected(TocsinError):
    """A keyset or root change that the trusted roots did not sign, or that goes back."""


class LedgerRejected(TocsinError):
    """A record or heartbeat that does not fit the chain as far as it is known. Nothing changed."""


class LedgerHalted(LedgerRejected):
    """Signed evidence that the ledger cannot be believed: a fork, another issuer, a broken hash."""


class TokenRejected(TocsinError):
    """An access token that must not be accepted.

    The text is the same for every cause, so that an answer built from it says nothing about why;
    ``code`` is for meters and logs on our side.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code, "the access token is not valid")


class AgentStale(TocsinError):
    """The agent holds no valid lease, so it can neither accept nor reject (HTTP 503).

    ``code`` is the agent's reason; ``retry_after`` is in seconds.
    """

    def __init__(self, code: str, retry_after: int = 1) -> None:
        super().__init__(code, "the verifier cannot prove that it is up to date")
        self.retry_after = retry_after


class ExchangeRefused(TocsinError):
    """The issuer does not exchange a token. ``error`` is its word, by RFC 6749 section 5.2 or
    RFC 8693 section 2.2.2, and ``code`` the stable code beside it.
    """

    def __init__(self, error: str, code: str) -> None:
        super().__init__(code, f"the issuer does not exchange the token: {error}")
        self.error = error


class ExchangeUnavailable(TocsinError):
    """A token is not exchanged now, and may be later: ``retry_after`` is in seconds."""

    def __init__(self, code: str, retry_after: int = 1) -> None:
        super().__init__(code, "no token can be had from the issuer now")
        self.retry_after = retry_after


class RequestRejected(TocsinError):
    """A request to the issuer that is refused; ``status`` is the HTTP status code."""

    def __init__(self, code: str, message: str = "", status: int = 400) -> None:
        super().__init__(code, message)
        self.status = status
