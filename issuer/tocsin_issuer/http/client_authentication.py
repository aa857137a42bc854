"""Who a client is. Confidential ones show it in one way for each request: by secret, in header or
form (RFC 6749 section 2.3.1), by a signed assertion (RFC 7521 section 4.2, RFC 7523), or by the
certificate of the connection (RFC 8705 section 2).
"""

import base64
import binascii
from dataclasses import replace
from typing import Final
from urllib.parse import unquote_plus

from fastapi import Request

from tocsin_issuer.http.audited import about
from tocsin_issuer.http.client_address import client_address, source_of
from tocsin_issuer.http.client_assertion import LEEWAY_S, claimed_client, read_assertion
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.store.clients import Client, invalid_client
from tocsin_issuer.tls.files import TlsFiles
from tocsin_revocation_bus.clocks import wall_clock
from tocsin_schemas.client_assertion import ASSERTION_TYPE
from tocsin_schemas.confirmation import thumbprint
from tocsin_schemas.errors import RequestRejected
from tocsin_verifier_agent.adapters import peer

_METHODS: Final = ("client_secret_basic", "client_secret_post", "private_key_jwt")


def methods(tls: TlsFiles | None) -> tuple[str, ...]:
    """Those of a listener, by the names of the IANA registry of token endpoint authentication
    methods. ``tls`` are its certificate files.
    """
    sees_certificates = tls is not None and tls.client_ca is not None
    return (*_METHODS, "tls_client_auth") if sees_certificates else _METHODS


INTERNAL_ENDPOINTS: Final = ("/oauth/token", "/oauth/revoke", "/oauth/introspect")


async def authenticate_client(
    context: IssuerContext, request: Request, form: dict[str, str]
) -> Client | None:
    """The client that a request over HTTP comes from, as :func:`authenticate`."""
    return await authenticate(
        context,
        request.headers.getlist("authorization"),
        form,
        peer.of_scope(request.scope),
        client_address(request, context.config),
    )


async def identify_client(context: IssuerContext, request: Request, form: dict[str, str]) -> Client:
    """As :func:`authenticate_client`, but a public client only says who it is: the one that logins
    are of, where nobody has registered it (RFC 6749 section 3.2.1).

    Raises:
        RequestRejected: as above, and ``invalid_client`` for any other that shows no credentials.
    """
    client = await authenticate_client(context, request, form)
    if client is not None:
        return client
    public = context.config.login_client_id
    if form.get("client_id") != public or await context.clients.is_registered(public):
        raise invalid_client()
    about(client_id=public)
    return Client(public, (), ())


async def authenticate(
    context: IssuerContext,
    authorization: list[str],
    form: dict[str, str],
    certificate: bytes | None,
    address: str,
) -> Client | None:
    """The client that a request comes from; None where it shows no credentials at all.

    ``authorization`` holds the values of all headers of that name, ``certificate`` is the one that
    the connection has shown, in DER, and ``address`` where it comes from.

    Raises:
        RequestRejected: ``invalid_client`` (401) or ``invalid_request``.
        Throttled: in place of ``invalid_client``, after too many of them from one source.
    """
    try:
        return await _identify(context, authorization, form, certificate)
    except RequestRejected as rejected:
        if rejected.code == "invalid_client":
            await context.throttle.client_failed(source_of(address))
        raise


def assertion_audiences(context: IssuerContext) -> frozenset[str]:
    """How an assertion may name us (RFC 7523 section 3): by the issuer's name, or by the configured
    URL of an endpoint, which RFC 9126 section 2 asks for too. Never by what a request calls its
    host: the sender chooses that.
    """
    config = context.config
    names = {config.iss, f"{config.base_url}/oauth/token"}
    if config.internal_url is not None:
        names |= {f"{config.internal_url.rstrip('/')}{path}" for path in INTERNAL_ENDPOINTS}
    return frozenset(names)


async def _identify(
    context: IssuerContext,
    authorization: list[str],
    form: dict[str, str],
    certificate: bytes | None,
) -> Client | None:
    if "client_assertion" in form or "client_assertion_type" in form:
        return await _by_assertion(context, authorization, form)
    credentials = _credentials(authorization, form)
    if credentials is None:
        return await _by_certificate(context, certificate, form)
    client = await context.clients.authenticate(*credentials)
    if client is None:
        raise invalid_client()
    about(client_id=client.client_id)
    return client


async def _by_certificate(
    context: IssuerContext, certificate: bytes | None, form: dict[str, str]
) -> Client | None:
    """The request must say who it is (RFC 8705 section 2.1), for a certificate may carry several
    names. A connection may have one without meaning to authenticate a client.
    """
    client_id = form.get("client_id")
    if certificate is None or client_id is None:
        return None
    registered = await context.clients.find_with_certificate_name(client_id)
    if registered is None:
        return None
    client, name = registered
    if not name.is_in(certificate, wall_clock()):
        raise invalid_client()
    return replace(client, bound_to=thumbprint(certificate))


async def _by_assertion(
    context: IssuerContext, authorization: list[str], form: dict[str, str]
) -> Client:
    if "client_secret" in form or authorization:
        raise RequestRejected("invalid_request", "the client authenticates in two ways")
    text, kind = form.get("client_assertion"), form.get("client_assertion_type")
    if text is None or kind is None:
        raise RequestRejected("invalid_request", "an assertion and its type come together")
    client_id = claimed_client(text) if kind == ASSERTION_TYPE else None
    if client_id is None or form.get("client_id", client_id) != client_id:
        raise invalid_client()
    now = wall_clock()
    registered = await context.clients.find_with_keys(client_id)
    if registered is None:
        raise invalid_client()
    client, keys = registered
    assertion = read_assertion(text, keys, assertion_audiences(context), now)
    if assertion is None or assertion.sub != client_id:
        raise invalid_client()
    remembered_s = int(assertion.exp - now) + 2 * LEEWAY_S
    if not await context.clients.use_assertion(client_id, assertion.jti, remembered_s):
        raise invalid_client()
    about(client_id=client.client_id)
    return client


def _credentials(values: list[str], form: dict[str, str]) -> tuple[str, str] | None:
    if not values:
        if "client_secret" not in form:
            return None
        return form.get("client_id", ""), form["client_secret"]
    scheme, _, text = values[0].partition(" ")
    if len(values) != 1 or scheme.lower() != "basic":
        raise invalid_client()
    if "client_secret" in form:
        raise RequestRejected("invalid_request", "the client authenticates in two ways")
    try:
        pair = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid_client() from None
    client_id, colon, secret = pair.partition(":")
    if not colon or form.get("client_id", unquote_plus(client_id)) != unquote_plus(client_id):
        raise invalid_client()
    return unquote_plus(client_id), unquote_plus(secret)
