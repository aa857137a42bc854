"""The issuer over HTTP: a public listener for people and services, an internal one for operators.

Handlers parse, authorise, call the core, and no more. Route modules do without
``from __future__ import annotations``: FastAPI could not resolve what is defined in a closure.
"""

from tocsin_issuer.http.context import IssuerContext, KeyAdministration
from tocsin_issuer.http.internal import create_internal_app
from tocsin_issuer.http.public import create_public_app

__all__ = ["IssuerContext", "KeyAdministration", "create_internal_app", "create_public_app"]
