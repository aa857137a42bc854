"""Where a token may be sent."""

from __future__ import annotations

from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def fault_of(url: str) -> str | None:
    """What is wrong with an endpoint's URL, as one line without the URL; None for a good one.

    Tokens and secrets go over TLS, or stay on this machine (RFC 7662 section 4).
    """
    if not (url.isascii() and url.isprintable()) or set(url) & set(' "\\<>^`{|}'):
        return "has characters that no URL has"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if not host or port == 0:
        return "is not a URL"
    if "@" in parts.netloc:
        return "must not hold a name or a password"
    if parts.fragment:
        return "must not have a fragment"
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        return "must be https, or http on loopback"
    return None
