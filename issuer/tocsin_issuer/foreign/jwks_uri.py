"""Where a foreign issuer's keys may be fetched from: HTTPS, or plain HTTP on this machine alone.

Private addresses are not refused: a provider inside the company is the ordinary case, and the
roots sign the URI. Whoever can have a keyset signed needs no request of ours to do harm.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from tocsin_schemas.errors import ConfigurationError


def check_jwks_uri(uri: str) -> None:
    """Whether keys may be fetched from ``uri``.

    Raises:
        ConfigurationError: ``jwks_uri``: another scheme, plain HTTP to another machine, a name and
            password, a fragment, or no URI at all.
    """
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError("jwks_uri", "jwks_uri: not a URI") from None
    if not uri.isascii() or any(sign <= " " or sign in "\\\x7f" for sign in uri):
        raise ConfigurationError("jwks_uri", "jwks_uri: white space or a sign no URI has")
    if not host or port == 0 or "@" in parts.netloc or "#" in uri:
        raise ConfigurationError("jwks_uri", "jwks_uri: a host, and neither name nor fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ConfigurationError("jwks_uri", "jwks_uri: HTTPS, or HTTP on loopback alone")


def _is_loopback(host: str) -> bool:
    """By the text alone, no name is looked up; `localhost` is loopback (RFC 6761 section 6.3)."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
