"""The name that a client's certificate must carry (``tls_client_auth``, RFC 8705 section 2.1.2).

That an authority of ours has issued the certificate is the handshake's business. Names are compared
by what they mean and not as text; where two comparisons are possible the stricter one is made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal, Self, get_args

from cryptography import x509
from cryptography.x509.oid import NameOID

from tocsin_schemas.errors import RequestRejected

Kind = Literal["subject_dn", "san_dns", "san_uri", "san_ip", "san_email"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
MAX_LENGTH: Final = 1024

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DNS: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")  # and no wildcard
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_LOCAL: Final = re.compile(r"[!-?A-~]{1,64}")  # all of ASCII that is printed, but for `@`
# RFC 4514 section 3, and what OpenSSL calls them; keywords are written in either case.
_KEYWORDS: Final = {
    "CN": NameOID.COMMON_NAME,
    "L": NameOID.LOCALITY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "C": NameOID.COUNTRY_NAME,
    "STREET": NameOID.STREET_ADDRESS,
    "DC": NameOID.DOMAIN_COMPONENT,
    "UID": NameOID.USER_ID,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}
_BY_KEYWORD: Final = {
    written: oid
    for keyword, oid in _KEYWORDS.items()
    for written in (keyword, keyword.lower(), keyword.upper())
}


_UNREADABLE: Final = (
    ValueError,
    x509.InvalidVersion,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class CertificateName:
    """A kind of name and its value: a subject in RFC 4514's form, or one of the alternative names.

    ``value`` is in normal form where the kind has one.
    """

    kind: Kind
    value: str

    @classmethod
    def parse(cls, kind: Kind, text: str) -> Self:
        """Read what an operator registers.

        Raises:
            RequestRejected: ``client_certificate_name``.
        """
        if not 0 < len(text) <= MAX_LENGTH:
            raise _malformed(kind)
        match kind:
            case "subject_dn":
                _subject(text)
                return cls(kind, text)
            case "san_dns":
                return cls(kind, _matching(_DNS, text.lower(), kind))
            case "san_uri":
                return cls(kind, _matching(_URI, text, kind))
            case "san_ip":
                try:
                    return cls(kind, str(ip_address(text)))
                except ValueError:
                    raise _malformed(kind) from None
            case "san_email":
                local, _, domain = text.rpartition("@")
                _matching(_LOCAL, local, kind)
                return cls(kind, f"{local}@{_matching(_DNS, domain.lower(), kind)}")

    def is_in(self, certificate: bytes, now: float) -> bool:
        """Whether a certificate (in DER) carries it, and holds at ``now`` (seconds of UTC): it was
        verified when its connection began, and that may live on.
        """
        try:
            found = x509.load_der_x509_certificate(certificate)
            begins, ends = found.not_valid_before_utc, found.not_valid_after_utc
            if not begins.timestamp() <= now <= ends.timestamp():
                return False
            if self.kind == "subject_dn":
                return found.subject == _subject(self.value)
            san = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except _UNREADABLE:
            return False
        return self.value in _alternatives(self.kind, san)


def _alternatives(kind: Kind, san: x509.SubjectAlternativeName) -> set[str]:
    """Alternative names of one kind, in normal form."""
    match kind:
        case "san_dns":
            return {name.lower() for name in san.get_values_for_type(x509.DNSName)}
        case "san_uri":
            return set(san.get_values_for_type(x509.UniformResourceIdentifier))
        case "san_ip":
            return {str(address) for address in san.get_values_for_type(x509.IPAddress)}
        case "san_email":
            parted = (name.rpartition("@") for name in san.get_values_for_type(x509.RFC822Name))
            return {f"{local}@{domain.lower()}" for local, _, domain in parted}
        case "subject_dn":
            return set()


def _subject(text: str) -> x509.Name:
    """A distinguished name: its parts in order, each a set of types and values (RFC 4514).

    The type of string that a value is written in does not count; its letters' case does. An encoded
    value (``#…``) is refused: the library would take the encoding for the value.
    """
    try:
        name = x509.Name.from_rfc4514_string(text, _BY_KEYWORD)
    except (ValueError, IndexError):
        raise _malformed("subject_dn") from None
    if not name.rdns or "=#" in text:
        raise _malformed("subject_dn")
    return name


def _matching(pattern: re.Pattern[str], text: str, kind: Kind) -> str:
    if not pattern.fullmatch(text):
        raise _malformed(kind)
    return text


def _malformed(kind: Kind) -> RequestRejected:
    return RequestRejected(
        "client_certificate_name", f"tls_client_auth_{kind} is not a name of that kind"
    )
