"""The form parameters of the OAuth endpoints, for the OpenAPI document.

The endpoints read them by themselves: RFC 6749 has its own rules for forms and errors. Each of them
takes ``client_id`` with ``client_secret`` or an assertion where the client does not use HTTP Basic.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from tocsin_schemas.jws import MAX_JWS_LENGTH

Text = Annotated[str, Field(max_length=1024)]
Token = Annotated[str, Field(max_length=MAX_JWS_LENGTH)]


class _ClientForm(BaseModel):
    client_id: Text | None = None
    client_secret: Text | None = None
    client_assertion: Token | None = None
    client_assertion_type: (
        Literal["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"] | None
    ) = None


class TokenForm(_ClientForm):
    """RFC 6749 sections 4.4.2 and 6, RFC 8707 section 2.2."""

    grant_type: Literal["refresh_token", "client_credentials"]
    refresh_token: Text | None = None
    device_id: Text | None = None
    scope: Text | None = None
    audience: Text | None = None
    resource: Text | None = None


class ExchangeForm(_ClientForm):
    """RFC 8693 section 2.1."""

    grant_type: Literal["urn:ietf:params:oauth:grant-type:token-exchange"]
    subject_token: Token
    subject_token_type: Literal[
        "urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:token-type:jwt"
    ]
    actor_token: Token | None = None
    actor_token_type: Text | None = None
    requested_token_type: Literal["urn:ietf:params:oauth:token-type:access_token"] | None = None
    audience: Text | None = None
    resource: Text | None = None
    scope: Text | None = None


class TokenOnlyForm(_ClientForm):
    """RFC 7009 section 2.1 and RFC 7662 section 2.1."""

    token: Token
    token_type_hint: Text | None = None
