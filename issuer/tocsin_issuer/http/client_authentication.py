"""Confidential clients at an endpoint (RFC 6749 section 2.3.1): header or form, never both."""

import base64
import binascii
from urllib.parse import unquote_plus

from fastapi import Request

from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.store.clients import Client
from tocsin_schemas.errors import RequestRejected


async def authenticate_client(
    context: IssuerContext, request: Request, form: dict[str, str]
) -> Client | None:
    """The client that the request comes from; None where it shows no credentials at all.

    Raises:
        RequestRejected: ``invalid_client`` (401) or ``invalid_request``.
    """
    credentials = _credentials(request, form)
    if credentials is None:
        return None
    client = await context.clients.authenticate(*credentials)
    if client is None:
        raise invalid_client()
    return client


def invalid_client() -> RequestRejected:
    """One text for every cause."""
    return RequestRejected("invalid_client", "client authentication failed", status=401)


def _credentials(request: Request, form: dict[str, str]) -> tuple[str, str] | None:
    values = request.headers.getlist("authorization")
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
