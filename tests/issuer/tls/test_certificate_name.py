"""Names in certificates: compared by what they mean, and none that only looks like it."""

import ipaddress
import time

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from tests.support.certificates import Authority, name_of
from tocsin_issuer.tls.certificate_name import KINDS, CertificateName, Kind
from tocsin_schemas.errors import RequestRejected

AUTHORITY = Authority()
NOW = time.time()
CN, ORG, UNIT = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME


def _attribute(
    oid: x509.ObjectIdentifier, value: str, kind: str = "UTF8"
) -> x509.NameAttribute[str]:
    kinds = {
        "UTF8": _ASN1Type.UTF8String,
        "printable": _ASN1Type.PrintableString,
        "BMP": _ASN1Type.BMPString,
    }
    return x509.NameAttribute(oid, value, kinds[kind])


def subject(*rdns: tuple[x509.NameAttribute[str], ...]) -> bytes:
    name = x509.Name([x509.RelativeDistinguishedName(rdn) for rdn in rdns])
    return AUTHORITY.issue(name).der


def plain(kind: str = "UTF8") -> bytes:
    return subject((_attribute(ORG, "Example, Inc", kind),), (_attribute(CN, "orders", kind),))


def several() -> bytes:
    return subject((_attribute(CN, "orders"), _attribute(UNIT, "shop")), (_attribute(ORG, "Ex"),))


def alternative(*names: x509.GeneralName) -> bytes:
    return AUTHORITY.client("orders", *names).der


def same(kind: Kind, text: str, certificate: bytes) -> bool:
    return CertificateName.parse(kind, text).is_in(certificate, NOW)


@pytest.mark.parametrize(
    "text",
    [
        r"CN=orders,O=Example\, Inc",
        r"cn=orders,o=Example\2C Inc",
        r"2.5.4.3=orders,2.5.4.10=Example\, Inc",
        r"CN=\6frders,O=Example\,\ Inc",
    ],
)
@pytest.mark.parametrize("kind", ["UTF8", "printable", "BMP"])
def test_one_subject_has_many_texts(text: str, kind: str) -> None:
    assert same("subject_dn", text, plain(kind))


@pytest.mark.parametrize(
    "text",
    [
        r"O=Example\, Inc,CN=orders",
        r"CN=orders+O=Example\, Inc",
        "CN=orders",
        r"CN=orders,O=Example\, Inc,C=DE",
        r"CN=Orders,O=Example\, Inc",
        r"CN=orders,OU=Example\, Inc",
        r"CN=orders,O=Example\,  Inc",
        "CN=orders,O=Example",
    ],
)
def test_another_subject_is_another(text: str) -> None:
    assert not same("subject_dn", text, plain())


def test_parts_that_stand_together_have_no_order() -> None:
    assert same("subject_dn", "O=Ex,CN=orders+OU=shop", several())
    assert same("subject_dn", "O=Ex,OU=shop+CN=orders", several())
    assert not same("subject_dn", "O=Ex,OU=shop,CN=orders", several())


DNS, URI, EMAIL = x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name
IP4 = x509.IPAddress(ipaddress.ip_address("10.0.0.7"))
IP6 = x509.IPAddress(ipaddress.ip_address("2001:db8::7"))


@pytest.mark.parametrize(
    ("kind", "text", "name"),
    [
        ("san_dns", "Orders.Internal", DNS("orders.INTERNAL")),
        ("san_uri", "spiffe://shop/orders", URI("spiffe://shop/orders")),
        ("san_ip", "10.0.0.7", IP4),
        ("san_ip", "2001:DB8:0:0:0:0:0:7", IP6),
        ("san_email", "Orders@Example.com", EMAIL("Orders@example.COM")),
    ],
)
def test_alternative_names(kind: Kind, text: str, name: x509.GeneralName) -> None:
    assert same(kind, text, alternative(DNS("another.internal"), name))
    assert not same(kind, text, alternative(DNS("another.internal")))
    assert not same(kind, text, AUTHORITY.client("orders").der)


@pytest.mark.parametrize(
    ("kind", "text", "name"),
    [
        ("san_dns", "orders.internal", DNS("*.internal")),
        ("san_dns", "internal", DNS("orders.internal")),
        ("san_uri", "spiffe://shop/orders", DNS("spiffe://shop/orders")),
        ("san_uri", "spiffe://shop/orders", URI("spiffe://shop/orders/")),
        ("san_uri", "spiffe://shop/orders", URI("spiffe://SHOP/orders")),
        ("san_ip", "10.0.0.7", DNS("10.0.0.7")),
        ("san_ip", "10.0.0.7", x509.IPAddress(ipaddress.ip_address("::ffff:10.0.0.7"))),
        ("san_email", "orders@example.com", EMAIL("Orders@example.com")),
        ("san_email", "orders@example.com", EMAIL("example.com")),
        ("san_dns", "orders", DNS("xorders")),
    ],
)
def test_names_that_only_look_like_it(kind: Kind, text: str, name: x509.GeneralName) -> None:
    assert not same(kind, text, alternative(name))


def test_the_common_name_is_no_alternative_name() -> None:
    assert not same("san_dns", "orders.internal", AUTHORITY.client("orders.internal").der)


def test_one_that_holds_no_more_does_not_count() -> None:
    name = CertificateName.parse("subject_dn", "CN=orders")
    der = AUTHORITY.client("orders").der
    assert name.is_in(der, NOW)
    assert not name.is_in(der, NOW + 2 * 86_400)
    assert not name.is_in(der, NOW - 2 * 86_400)
    assert not name.is_in(AUTHORITY.issue(name_of("orders"), days=(-2, -1)).der, NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_certificate_has_no_name(kind: Kind) -> None:
    text = {"subject_dn": "CN=a", "san_uri": "a:b", "san_ip": "::1", "san_email": "a@b"}
    name = CertificateName.parse(kind, text.get(kind, "a"))
    for der in (b"", b"\x30\x00", AUTHORITY.client("a").der[:-1]):
        assert not name.is_in(der, NOW)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("subject_dn", ""),
        ("subject_dn", "orders"),
        ("subject_dn", "CN=orders, O=Ex"),
        ("subject_dn", "CN=#0c066f7264657273"),
        ("subject_dn", "XX=orders"),
        ("subject_dn", "CN="),
        ("subject_dn", "CN=" + "x" * 1030),
        ("san_dns", "*.internal"),
        ("san_dns", "orders internal"),
        ("san_dns", "orders.internal."),
        ("san_dns", "örders.internal"),
        ("san_dns", "orders.internal\n"),
        ("san_dns", ""),
        ("san_uri", "orders"),
        ("san_uri", "spiffe://shop/ orders"),
        ("san_ip", "10.0.0.0/8"),
        ("san_ip", "10.0.0"),
        ("san_email", "orders"),
        ("san_email", "@example.com"),
        ("san_email", "a@b@example.com"),
        ("san_email", "orders@"),
    ],
)
def test_what_cannot_be_registered(kind: Kind, text: str) -> None:
    with pytest.raises(RequestRejected) as refused:
        CertificateName.parse(kind, text)
    assert refused.value.code == "client_certificate_name"
