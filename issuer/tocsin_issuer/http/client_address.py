"""Where a request comes from: the peer, or whom a trusted proxy names.

Anybody can send ``Forwarded`` (RFC 7239) or ``X-Forwarded-For``. So one header is believed, the one
that the configured proxies write, and only as far as each address named in it is such a proxy's.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request

from tocsin_issuer.config import IssuerConfig

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAX_HOPS: Final = 16
_SUBSCRIBER_PREFIX: Final = 64
"""What one subscriber of IPv6 gets at least: counting single addresses would count nobody."""


def client_address(request: Request, config: IssuerConfig) -> str:
    """The address as text; the empty string where there is none, as on a Unix socket."""
    peer = "" if request.client is None else request.client.host
    header = config.trusted_proxy_header
    return named_by_proxies(
        peer,
        request.headers.getlist(header),
        config.trusted_proxies,
        forwarded=header == "forwarded",
    )


def named_by_proxies(
    peer: str, values: Sequence[str], trusted: Sequence[Network], *, forwarded: bool
) -> str:
    """Go back from the peer for as long as the address is a trusted proxy's, and not past one that
    cannot be read. Each proxy appends whom it was asked by, so the last value is the nearest.
    """
    found = peer
    hops = ",".join(values).split(",") if values else []
    for hop in reversed(hops[-_MAX_HOPS:]):
        if not _is_trusted(found, trusted):
            break
        address = _parse(_for_parameter(hop) if forwarded else hop)
        if address is None:
            break
        found = str(address)
    return found


def source_of(address: str) -> str:
    """What failures are counted by: an IPv4 address, or the /64 of an IPv6 one."""
    parsed = _parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(parsed), _SUBSCRIBER_PREFIX), strict=False))
    return address if parsed is None else str(parsed)


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    parsed = _parse(address)
    return parsed is not None and any(
        parsed.version == network.version and parsed in network for network in trusted
    )


def _for_parameter(element: str) -> str:
    """The ``for`` of one element (RFC 7239 section 4), without its quotes."""
    for pair in element.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return value.strip().strip('"')
    return ""


def _parse(text: str) -> Address | None:
    """An address, with or without a port; an IPv4 address in IPv6 dress is one of IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
