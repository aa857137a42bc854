"""Where the issuer's exchange is, and as whom to ask."""

from __future__ import annotations

from dataclasses import dataclass, field

from tocsin_schemas.errors import ConfigurationError
from tocsin_verifier_agent import endpoint
from tocsin_verifier_agent.client_assertion import ClientAssertions
from tocsin_verifier_agent.client_tls import ClientTls


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerAccess:
    """``url`` is that of the token endpoint, or ``https://host:port`` of the gRPC listener. With
    neither ``client_secret`` nor ``assertions`` the client is known by its certificate (RFC 8705
    section 2.1).

    Raises:
        ConfigurationError: ``exchange_url`` where a token must not be sent there, or
            ``exchange_client`` where nothing says who asks, or a secret and assertions both do.
    """

    url: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    assertions: ClientAssertions | None = None
    tls: ClientTls = field(default_factory=ClientTls)

    def __post_init__(self) -> None:
        fault = endpoint.fault_of(self.url)
        if fault is not None:
            raise ConfigurationError("exchange_url", f"the exchange URL {fault}")
        shown = (self.client_secret, self.assertions)
        if shown == (None, None) and self.tls.certificate is None:
            raise ConfigurationError(
                "exchange_client", "a secret, a key or a certificate is needed"
            )
        if None not in shown:
            raise ConfigurationError("exchange_client", "a secret and a key say who asks")
