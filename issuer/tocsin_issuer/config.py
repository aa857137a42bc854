"""The issuer's configuration: one frozen model, every size and time capped.

Secrets are no part of it: they come from files or the environment (``*_FILE``).
"""

from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, model_validator

from tocsin_issuer.foreign.named_issuer import foreign_issuer
from tocsin_issuer.tls.files import TlsFiles
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.issuer_profile import ForeignIssuer

_DAY_S: Final = 24 * 3600

Identifier = Annotated[str, Field(min_length=1, max_length=255)]
Host = Annotated[str, Field(min_length=1, max_length=255)]
Port = Annotated[int, Field(ge=0, le=65535)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s?#]+$", max_length=1024)]


class ForeignIssuerConfig(BaseModel):
    """An identity provider of somebody else's, whose tokens our verifiers may accept."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    iss: Annotated[str, Field(min_length=1, max_length=1024)]
    jwks_uri: Annotated[str, Field(min_length=1, max_length=1024)]
    """HTTPS, or HTTP on loopback."""

    profile: str | dict[str, Any]
    """A preset's name, or a table of fields in place of those of its ``preset``."""

    @model_validator(mode="after")
    def _checked(self) -> Self:
        try:
            _ = self.named
        except ConfigurationError as error:
            raise ValueError(f"{error} [{error.code}]") from None
        return self

    @cached_property
    def named(self) -> ForeignIssuer:
        """As the keyset holds it."""
        return foreign_issuer(self.iss, self.jwks_uri, self.profile)


class IssuerConfig(BaseModel):
    """Times ending in ``_s`` are seconds. A port of 0 lets the system choose one."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    iss: Annotated[str, Field(min_length=1, max_length=1024)]
    """The one ``iss`` of all tokens and records; a URL by default."""

    public_url: Url | None = None
    """Where clients reach the public listener; ``iss`` where none is given."""

    internal_url: Url | None = None
    """Where services reach the internal listener; where none is given, its metadata names the host
    that a request asked for.
    """

    public_host: Host = "127.0.0.1"
    public_port: Port = 8080
    internal_host: Host = "127.0.0.1"
    internal_port: Port = 8081
    grpc_host: Host = "127.0.0.1"
    grpc_port: Port | None = None
    """The token exchange over gRPC, with the certificates of the internal listener; without a port
    there is none. gRPC asks every client for a certificate or none.
    """

    public_tls: TlsFiles | None = None
    internal_tls: TlsFiles | None = None
    """Without them a listener speaks plain HTTP: on loopback, or behind a proxy that speaks TLS."""

    access_token_life_s: Annotated[int, Field(ge=10, le=3600)] = 600
    max_token_life_s: Annotated[int, Field(ge=10, le=30 * _DAY_S)] = 3600
    """The longest life of any token, as in the keyset's policy: rules outlive it."""

    session_idle_s: Annotated[int, Field(ge=60, le=90 * _DAY_S)] = 7 * _DAY_S
    session_absolute_s: Annotated[int, Field(ge=60, le=365 * _DAY_S)] = 30 * _DAY_S

    refresh_grace_s: Annotated[float, Field(ge=0.0, le=60.0)] = 10.0
    """How long after a refresh its request may be repeated, once, from the device that the session
    is bound to; 0 for not at all.
    """

    default_audiences: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=32)]
    """Whom the tokens of a login are for."""

    login_client_id: Identifier = "first-party"
    """The ``client_id`` of tokens from ``/v1/login`` (RFC 9068 asks for one)."""

    login_failures: Annotated[int, Field(ge=1, le=1000)] = 10
    """Failed logins of one account from one source before these two are locked."""

    login_address_failures: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Failed logins from one source before it is locked; clients that fail count by themselves."""

    login_account_failures: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Failed logins of one account before it is locked for sources that it is not known from."""

    login_lock_s: Annotated[int, Field(ge=1, le=_DAY_S)] = 60
    """The first lock; each failure that follows it locks for twice as long."""

    login_longest_lock_s: Annotated[int, Field(ge=1, le=_DAY_S)] = 900

    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], Field(max_length=64)] = ()
    """The networks of the reverse proxies that are believed about where a request comes from."""

    trusted_proxy_header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    """Which header those proxies write; the other one comes from anybody."""

    commit_wait_s: Annotated[float, Field(ge=0.0, le=30.0)] = 2.0
    """How long a caller waits for the ledger before it is answered 202."""

    foreign_issuers: Annotated[tuple[ForeignIssuerConfig, ...], Field(max_length=32)] | None = None
    """What the next keyset is to name, all of it; None leaves it as it is."""

    foreign_token_life_s: Annotated[int, Field(ge=1, le=30 * _DAY_S)] | None = None
    """The longest life of a foreign token: the next keyset's policy allows it, ours too."""

    foreign_refresh_s: Annotated[float, Field(ge=1.0, le=_DAY_S)] = 600.0
    """How often each foreign issuer's keys are fetched."""

    foreign_least_pause_s: Annotated[float, Field(ge=1.0, le=3600.0)] = 30.0
    """Between two fetches from one foreign issuer, whoever asks for them."""

    max_connections: Annotated[int, Field(ge=1, le=65_535)] = 1024
    """Of one listener; more are refused."""

    max_head_bytes: Annotated[int, Field(ge=8 * 1024, le=2**20)] = 32 * 1024
    """Of a request line and its headers. A token alone may be 8 KiB."""

    head_timeout_s: Annotated[float, Field(gt=0.0, le=120.0)] = 10.0
    """For a request's head, from the connection or its first byte; and for a TLS handshake."""

    audit_log_entries: Annotated[int, Field(ge=1000, le=10_000_000)] = 100_000
    """How many of what was done the audit log keeps, and how many of what was refused; each takes
    about 300 bytes.
    """

    bulk_max_bytes: Annotated[int, Field(ge=1024, le=2**32)] = 2**28
    """The body of one bulk revocation, which is not held in memory: about 5 million tokens."""

    bulk_stall_s: Annotated[float, Field(gt=0.0, le=300.0)] = 30.0
    """How long a bulk revocation waits for a ledger that takes nothing."""

    command_window_s: Annotated[int, Field(ge=60, le=7 * _DAY_S)] = _DAY_S
    """How long a revocation command that comes again, over NATS, is answered as it was before."""

    max_body_bytes: Annotated[int, Field(ge=1024, le=2**20)] = 16 * 1024
    body_timeout_s: Annotated[float, Field(gt=0.0, le=120.0)] = 10.0
    grpc_timeout_s: Annotated[float, Field(gt=0.0, le=120.0)] = 10.0
    """How long a call over gRPC may take."""

    @model_validator(mode="after")
    def _times_in_order(self) -> Self:
        if self.access_token_life_s > self.max_token_life_s:
            raise ValueError("access_token_life_s exceeds max_token_life_s")
        if self.session_idle_s > self.session_absolute_s:
            raise ValueError("session_idle_s exceeds session_absolute_s")
        if self.login_lock_s > self.login_longest_lock_s:
            raise ValueError("login_lock_s exceeds login_longest_lock_s")
        return self

    @model_validator(mode="after")
    def _foreign_issuers_in_order(self) -> Self:
        if self.foreign_least_pause_s > self.foreign_refresh_s:
            raise ValueError("foreign_least_pause_s exceeds foreign_refresh_s")
        names = [foreign.iss for foreign in self.foreign_issuers or ()]
        if len(set(names)) != len(names):
            raise ValueError("foreign_issuers: an iss stands twice")
        if self.iss in names:
            raise ValueError("foreign_issuers: our own iss is not a foreign one")
        return self

    @property
    def base_url(self) -> str:
        """The public URL without a trailing slash."""
        return (self.public_url or self.iss).rstrip("/")
