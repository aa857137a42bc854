"""The issuer's configuration: one frozen model, every size and time capped.

Secrets are no part of it: they come from files or the environment (``*_FILE``).
"""

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_DAY_S: Final = 24 * 3600

Identifier = Annotated[str, Field(min_length=1, max_length=255)]
Host = Annotated[str, Field(min_length=1, max_length=255)]
Port = Annotated[int, Field(ge=0, le=65535)]


class IssuerConfig(BaseModel):
    """Times ending in ``_s`` are seconds. A port of 0 lets the system choose one."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    iss: Annotated[str, Field(min_length=1, max_length=1024)]
    """The one ``iss`` of all tokens and records; a URL by default."""

    public_url: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$", max_length=1024)] | None = None
    """Where clients reach the public listener; ``iss`` where none is given."""

    public_host: Host = "127.0.0.1"
    public_port: Port = 8080
    internal_host: Host = "127.0.0.1"
    internal_port: Port = 8081

    access_token_life_s: Annotated[int, Field(ge=10, le=3600)] = 600
    max_token_life_s: Annotated[int, Field(ge=10, le=30 * _DAY_S)] = 3600
    """The longest life of any token, as in the keyset's policy: rules outlive it."""

    session_idle_s: Annotated[int, Field(ge=60, le=90 * _DAY_S)] = 7 * _DAY_S
    session_absolute_s: Annotated[int, Field(ge=60, le=365 * _DAY_S)] = 30 * _DAY_S

    default_audiences: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=32)]
    """Whom the tokens of a login are for."""

    login_client_id: Identifier = "first-party"
    """The ``client_id`` of tokens from ``/v1/login`` (RFC 9068 asks for one)."""

    login_failures: Annotated[int, Field(ge=1, le=1000)] = 10
    """Failed logins of one account before it is locked."""

    login_lock_s: Annotated[int, Field(ge=1, le=_DAY_S)] = 60

    commit_wait_s: Annotated[float, Field(ge=0.0, le=30.0)] = 2.0
    """How long a caller waits for the ledger before it is answered 202."""

    max_body_bytes: Annotated[int, Field(ge=1024, le=2**20)] = 16 * 1024
    body_timeout_s: Annotated[float, Field(gt=0.0, le=120.0)] = 10.0

    @model_validator(mode="after")
    def _times_in_order(self) -> Self:
        if self.access_token_life_s > self.max_token_life_s:
            raise ValueError("access_token_life_s exceeds max_token_life_s")
        if self.session_idle_s > self.session_absolute_s:
            raise ValueError("session_idle_s exceeds session_absolute_s")
        return self

    @property
    def base_url(self) -> str:
        """The public URL without a trailing slash."""
        return (self.public_url or self.iss).rstrip("/")
