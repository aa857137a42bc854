"""Whom a request comes from, behind proxies that are trusted and others that are not."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from tests.issuer.http.conftest import CONFIG
from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.http.client_address import named_by_proxies, source_of

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48"))
CLIENT = "203.0.113.9"


@pytest.mark.parametrize(
    ("peer", "values", "found"),
    [
        (CLIENT, ["198.51.100.1"], CLIENT),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [CLIENT], CLIENT),
        ("10.0.0.1", [f"198.51.100.1, {CLIENT}"], CLIENT),
        ("10.0.0.1", ["198.51.100.1", CLIENT], CLIENT),
        ("10.0.0.1", [f"198.51.100.1, {CLIENT}, 10.2.3.4"], CLIENT),
        ("10.0.0.1", ["10.9.9.9"], "10.9.9.9"),
        ("10.0.0.1", [f"{CLIENT}:4711"], CLIENT),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", [f"::ffff:{CLIENT}"], CLIENT),
        ("::ffff:10.0.0.1", [CLIENT], CLIENT),
        ("2001:db8:ffff::1", [CLIENT], CLIENT),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [f"{CLIENT}, <script>"], "10.0.0.1"),
        ("10.0.0.1", [",".join(["10.0.0.2"] * 1000)], "10.0.0.2"),
        ("", [CLIENT], ""),
    ],
)
def test_x_forwarded_for(peer: str, values: list[str], found: str) -> None:
    assert named_by_proxies(peer, values, TRUSTED, forwarded=False) == found
    assert named_by_proxies(peer, values, (), forwarded=False) == peer


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (f"for={CLIENT};proto=https;by=10.0.0.1", CLIENT),
        (f"proto=https;For={CLIENT}", CLIENT),
        ('for="[2001:db8::7]:4711"', "2001:db8::7"),
        (f'for=198.51.100.1, for="{CLIENT}"', CLIENT),
        (f'for="a, for=198.51.100.1", for={CLIENT}', CLIENT),
        (f"for={CLIENT}, for=10.1.1.1", CLIENT),
        ("for=_hidden", "10.0.0.1"),
        ("for=unknown", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
        (CLIENT, "10.0.0.1"),
    ],
)
def test_forwarded(value: str, found: str) -> None:
    assert named_by_proxies("10.0.0.1", [value], TRUSTED, forwarded=True) == found


def test_an_ipv6_subscriber_is_one_source() -> None:
    assert source_of("2001:db8:1:2::1") == source_of("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert source_of("2001:db8:1:3::1") != source_of("2001:db8:1:2::1")
    assert source_of("192.0.2.1") == source_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert source_of("192.0.2.1") != source_of("192.0.2.2")
    assert source_of("") == ""


def test_proxies_are_networks_and_their_header_is_one_of_two() -> None:
    def config(**changes: object) -> IssuerConfig:
        return IssuerConfig.model_validate({**CONFIG.model_dump(), **changes})

    assert config(trusted_proxies=("10.0.0.1", "fd00::/8")).trusted_proxies == (
        ip_network("10.0.0.1/32"),
        ip_network("fd00::/8"),
    )
    for wrong in ({"trusted_proxies": ("proxy",)}, {"trusted_proxy_header": "x-real-ip"}):
        with pytest.raises(ValidationError):
            config(**wrong)
