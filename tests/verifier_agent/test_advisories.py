"""What published advisories against PyJWT, joserfc and Authlib did, done to us.

| CVE | library, fixed in | what it was | here |
| --- | --- | --- | --- |
| 2022-29217 | PyJWT 2.4.0 | public keys in OpenSSH form taken as HMAC secrets | `SECRETS` |
| 2024-53861 | PyJWT 2.10.1 | `iss` that is a part of the expected one accepted | `ISSUERS` |
| 2026-32597 | PyJWT 2.12.0 | unknown extensions in `crit` accepted | `CRITICAL` |
| 2026-48522 | PyJWT 2.13.0 | the JWKS client opened `file:`, `ftp:` and `data:` | `ADDRESSES`, `test_…48522` |
| 2026-48523 | PyJWT 2.13.0 | an allowed `alg` in the header, the key's own signed with | `test_…48523` |
| 2026-48524 | PyJWT 2.13.0 | every unknown kid a fetch, and a failed one lost the keys | `test_…48524`; `tests/issuer/foreign/test_importer.py` for who fetches |
| 2026-48525 | PyJWT 2.13.0 | a payload that `b64: false` leaves unused decoded first | `test_…48525` |
| 2026-48526 | PyJWT 2.13.0 | a JWK's JSON taken as an HMAC secret | `SECRETS` |
| 2026-102266 | PyJWT 2.14.0 | an `oct` JWK with an empty `k` | `test_…102266` |
| 2026-102267 | PyJWT 2.14.0 | the JWKS client followed redirects | `ADDRESSES`, `test_…102267` |
| 2026-102268 | PyJWT 2.14.0 | a PEM with other white space taken as an HMAC secret | `SECRETS` |
| 2026-102269 | PyJWT 2.14.0 | characters after the signature ignored | `MALLEABLE` |
| 2026-102270 | PyJWT 2.14.0 | no public text found (GHSA-jwrc-g2q2-pq5p, medium); a backport's notes list it beside 102269 with canonical base64url as the one change | `MALLEABLE`, best guess |
| 2026-102271, 2026-102272 | PyJWT 2.14.0 | GHSA-p4g4-x82p-q773 and GHSA-r6x4-923q-g947: no text found of either; the changelog names both among four on public keys as HMAC secrets in JWK, JWKS, array, encoded, BOM-prefixed, DER or PEM form | `SECRETS`, all these forms |
| 2026-102273 | PyJWT 2.14.0 | of public JWKs only those at the top level refused as HMAC secrets | `SECRETS` |
| 2026-102274 | PyJWT 2.14.0 | one malformed RSA key made a whole JWK Set fail | `MALFORMED_KEYS` |
| 2026-102275 | PyJWT 2.15.0 | an OKP JWK whose `d` does not belong to its `x` | `test_…102275` |
| 2026-101918 | PyJWT 2.15.0 | RecursionError from a nested payload (102265: header) | `test_…101918` |
| 2026-49852 | joserfc 1.6.8 | an empty HMAC key | `SECRETS` |
| 2026-62995 | joserfc 1.7.2 | `==` after the token accepted | `MALLEABLE` |
| 2026-75509 | joserfc 1.7.3 | `iss` and `sub` as arrays that contain the expected one | `ISSUERS` |
| 2026-102946 | joserfc 1.7.4 | general JSON serialization with `signatures: []` | `test_…102946` |
| 2026-27962 | Authlib 1.6.9 | the header's own `jwk` verifies the token | `test_…27962` |
| 2026-28802 | Authlib 1.6.7 | `alg: none` with a blank signature | `test_…28802` |
"""  # noqa: E501 (a table)

from __future__ import annotations

import builtins
import hmac
import json
import socket
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.issuer.foreign.provider import Page, provider
from tests.support.clock import NOW
from tests.support.forge import b64, header_of, octets, seal, token
from tests.support.keys import private_pem, public_jwk, signer
from tests.support.ledger import ROOT, STANDBY_KEY, pinned, signed_keyset
from tests.support.tokens import AUDIENCE, ISSUER, claims
from tests.support.weak_keys import rsa_jwk
from tests.verifier_agent.hostile.build import (
    EC,
    ED,
    JWKS,
    RSA,
    THIEF,
    altered,
    body,
    ed_signed,
    good,
    head,
    headed,
    hs,
    json_serialization,
    nest,
    payload_with,
    pem,
    rsa_public,
    unsigned,
    with_trailing_bits,
)
from tocsin_issuer.foreign.jwks_fetch import JwksFetch
from tocsin_issuer.foreign.key_set import ImportRejected
from tocsin_revocation_bus.core.trust import Trust
from tocsin_schemas import jwk, jws, signed_document
from tocsin_schemas.errors import DocumentRejected, JwsRejected, KeyRejected, TokenRejected
from tocsin_schemas.keyset import KEYSET_TYP
from tocsin_schemas.signed_document import SignedDocument
from tocsin_verifier_agent import Verifier

KEYS = jwk.from_jwks(JWKS).keys


def new_verifier(jwks: Any = JWKS) -> Verifier:
    return Verifier.from_jwks(jwks, issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW)


def refused(text: str, verifier: Verifier | None = None) -> str:
    """The verifier's code; a good token before and after says that it is in order."""
    verifier = new_verifier() if verifier is None else verifier
    verifier.verify(good())
    with pytest.raises(TokenRejected) as caught:
        verifier.verify(text)
    verifier.verify(good())
    return caught.value.code


def refused_as_jws(text: str) -> str:
    """By the strict core under tokens and records alike, and by the verifier."""
    refused(text)
    with pytest.raises(JwsRejected) as caught:
        jws.verify_compact(text, KEYS)
    return caught.value.code


def rows(table: dict[str, Any]) -> list[Any]:
    return [pytest.param(one, id=name) for name, one in table.items()]


# --- public keys as HMAC secrets ------------------------------------------------------------------


def openssh(key: Any) -> bytes:
    made: bytes = key.private_key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return made


def der() -> bytes:
    return rsa_public(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


BOM = b"\xef\xbb\xbf"
SECRETS: dict[str, tuple[Callable[[], bytes], str]] = {
    "2022-29217: ssh-ed25519": (lambda: openssh(ED), ED.kid),
    "2022-29217: ecdsa-sha2-nistp256": (lambda: openssh(EC), EC.kid),
    "2022-29217: ssh-rsa": (lambda: openssh(RSA), RSA.kid),
    "2022-29217: ssh with a comment": (lambda: openssh(ED) + b" ops@example", ED.kid),
    "2026-48526: JWK": (lambda: json.dumps(public_jwk(RSA)).encode(), RSA.kid),
    "2026-48526: JWK, compact": (lambda: compact(public_jwk(EC)), EC.kid),
    "2026-48526: JWK, indented": (lambda: json.dumps(public_jwk(ED), indent=2).encode(), ED.kid),
    "2026-102268: PEM": (pem, RSA.kid),
    "2026-102268: PEM in CRLF": (lambda: pem().replace(b"\n", b"\r\n"), RSA.kid),
    "2026-102268: PEM in CR": (lambda: pem().replace(b"\n", b"\r"), RSA.kid),
    "2026-102268: PEM after white space": (lambda: b" \t\n" + pem(), RSA.kid),
    "2026-102268: PEM without its last line end": (lambda: pem().rstrip(), RSA.kid),
    "2026-102268: PEM in one line": (lambda: pem().replace(b"\n", b""), RSA.kid),
    "2026-102268: PEM with literal backslash n": (lambda: pem().replace(b"\n", b"\\n"), RSA.kid),
    "2026-102271, 102272: DER": (der, RSA.kid),
    "2026-102271, 102272: PKCS #1 DER": (
        lambda: rsa_public(Encoding.DER, PublicFormat.PKCS1),
        RSA.kid,
    ),
    "2026-102271, 102272: DER in base64": (lambda: b64encode(der()), RSA.kid),
    "2026-102271, 102272: PEM with a BOM": (lambda: BOM + pem(), RSA.kid),
    "2026-102271, 102272: JWK with a BOM": (lambda: BOM + compact(public_jwk(RSA)), RSA.kid),
    "2026-102271, 102272: JWK in UTF-16": (
        lambda: json.dumps(public_jwk(RSA)).encode("utf-16"),
        RSA.kid,
    ),
    "2026-102271, 102272: JWK in base64": (
        lambda: b64encode(compact(public_jwk(RSA))),
        RSA.kid,
    ),
    "2026-102273: JWK Set": (lambda: compact(JWKS), RSA.kid),
    "2026-102273: an array of JWKs": (lambda: compact(JWKS["keys"]), RSA.kid),
    "2026-102273: a JWK in an object": (lambda: compact({"key": public_jwk(RSA)}), RSA.kid),
    "2026-102273: a JWK as a string": (lambda: compact(json.dumps(public_jwk(RSA))), RSA.kid),
    "2026-49852: empty": (lambda: b"", RSA.kid),
    "2026-49852: the word None": (lambda: b"None", RSA.kid),
    "2026-49852: zeros": (lambda: bytes(64), RSA.kid),
}


@pytest.mark.parametrize("digest", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("secret", rows(SECRETS))
def test_a_public_key_is_nobodys_secret(
    secret: tuple[Callable[[], bytes], str], digest: str
) -> None:
    """CVE-2022-29217, 2026-48526, 2026-102268, 2026-102271 to 102273, 2026-49852.

    An attacker signs with HMAC and what everybody knows. Here an HMAC is never computed: a key is
    bound to its algorithm when it is imported.
    """
    build, kid = secret
    assert refused_as_jws(hs(build(), digest, kid)) == "alg"


@pytest.mark.parametrize(
    "key",
    rows(
        {
            "empty k": {"kty": "oct", "k": "", "kid": "empty", "alg": "HS256"},
            "no k": {"kty": "oct", "kid": "empty", "alg": "HS256"},
            "k null": {"kty": "oct", "k": None, "kid": "empty", "alg": "HS256"},
            "a k that is good": {"kty": "oct", "k": b64(bytes(32)), "kid": "empty"},
            "no alg": {"kty": "oct", "k": "", "kid": "empty"},
        }
    ),
)
def test_cve_2026_102266_an_empty_hmac_key_in_a_jwk(key: dict[str, Any]) -> None:
    """An `oct` JWK with an empty `k` made a key under which anybody can sign."""
    with pytest.raises(KeyRejected):
        jwk.from_jwk(key)
    verifier = new_verifier({"keys": [key, *JWKS["keys"]]})
    forged = seal({"alg": "HS256", "kid": "empty", "typ": "at+jwt"}, claims(), _hmac_empty)
    assert refused(forged, verifier) == "kid"


def _hmac_empty(data: bytes) -> bytes:
    return hmac.digest(b"", data, "sha256")


# --- algorithms and keys in the header --------------------------------------------------------


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA", "Ed25519", "RS512", "PS256"])
@pytest.mark.parametrize("key", rows({"RSA": RSA, "EC": EC, "Ed25519": ED}))
def test_cve_2026_48523_the_headers_alg_is_the_keys(key: Any, name: str) -> None:
    """The header's alg was looked up in the allow-list, and the key's own was then used."""
    text = token(key, claims(), alg=name)
    if name in key.public.algs:
        new_verifier().verify(text)
    else:
        assert refused_as_jws(text) == "alg"


def test_cve_2026_48523_a_keys_declared_alg_is_the_only_one() -> None:
    """A JWK with an alg of its own is bound to that name, and one of another kind is left out."""
    bound = new_verifier({"keys": [{**public_jwk(ED), "alg": "EdDSA"}, public_jwk(RSA)]})
    bound.verify(token(ED, claims(), alg="EdDSA"))
    with pytest.raises(TokenRejected):
        bound.verify(token(ED, claims(), alg="Ed25519"))
    for name in ("RS512", "PS256", "HS256", "none", "ES256"):
        assert jwk.from_jwks({"keys": [{**public_jwk(RSA), "alg": name}]}).keys == {}


@pytest.mark.parametrize(
    "text",
    rows(
        {
            "its own kid": lambda: token(THIEF, claims(), jwk=public_jwk(THIEF)),
            "our kid": lambda: token(THIEF, claims(), kid=ED.kid, jwk=public_jwk(THIEF)),
            "no kid": lambda: token(THIEF, claims(), kid=None, jwk=public_jwk(THIEF)),
            "our own key": lambda: headed(jwk=public_jwk(ED)),
            "an oct key": lambda: headed(jwk={"kty": "oct", "k": ""}),
        }
    ),
)
def test_cve_2026_27962_a_key_in_the_header_counts_for_nothing(text: Callable[[], str]) -> None:
    """With no key given, the header's `jwk` was taken: everybody signs for themselves."""
    assert refused_as_jws(text()) == "header"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "none ", ""])
@pytest.mark.parametrize("tail", ["", "AA", "AAAA"])
def test_cve_2026_28802_alg_none_with_a_blank_signature(name: str, tail: str) -> None:
    refused_as_jws(unsigned(alg=name) + tail)
    without_kid = b64(octets({"alg": name, "typ": "at+jwt"}))
    refused_as_jws(f"{without_kid}.{b64(octets(claims()))}.{tail}")


CRITICAL: dict[str, dict[str, Any]] = {
    "unknown": {"crit": ["x-policy"], "x-policy": "deny"},
    "unknown beside a known one": {"crit": ["exp", "x-policy"], "exp": NOW, "x-policy": 1},
    "not there": {"crit": ["x-policy"]},
    "registered": {"crit": ["alg"]},
    "empty": {"crit": []},
    "a string": {"crit": "x-policy"},
    "null": {"crit": [None]},
    "b64 true": {"crit": ["b64"], "b64": True},
    "cnf": {"crit": ["cnf"], "cnf": {"jkt": "x"}},
}


@pytest.mark.parametrize("header", rows(CRITICAL))
def test_cve_2026_32597_a_critical_extension_is_not_ignored(header: dict[str, Any]) -> None:
    """RFC 7515 section 4.1.11: we know no extension, so no token has any that is critical."""
    assert refused_as_jws(headed(**header)) == "header"


def test_cve_2026_48525_the_header_is_judged_before_the_payload_is_decoded() -> None:
    """`b64: false` made the payload segment useless, but it was decoded first, at any size."""
    detached = {"b64": False, "crit": ["b64"]}
    start, _, tail = headed(**detached).split(".")
    assert refused_as_jws(f"{start}.!not/base64!.{tail}") == "header"
    assert refused_as_jws(f"{start}..{tail}") == "segments"
    started = time.process_time()
    assert refused_as_jws(f"{start}.{'A' * 20_000_000}.{tail}") == "size"
    assert time.process_time() - started < 0.25


# --- addresses ------------------------------------------------------------------------------------


@pytest.fixture
def nothing_opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of what was opened: a socket, a name, a file or an address."""
    opened: list[str] = []

    def seen(name: str) -> Callable[..., Any]:
        def refuse(*_args: object, **_options: object) -> Any:
            opened.append(name)
            raise OSError(name)

        return refuse

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, seen(name))
    monkeypatch.setattr(urllib.request, "urlopen", seen("urlopen"))
    monkeypatch.setattr(builtins, "open", seen("open"))
    yield opened
    monkeypatch.undo()
    assert opened == []


ADDRESSES = {
    "2026-48522: file": "file:///etc/passwd",
    "2026-48522: ftp": "ftp://thief.example/jwks.json",
    "2026-48522: data": "data:application/json," + json.dumps({"keys": [public_jwk(THIEF)]}),
    "2026-102267: a redirect": "https://issuer.example/redirect?to=https://thief.example/jwks.json",
    "2026-102267: inside": "http://169.254.169.254/latest/meta-data/",
}


@pytest.mark.parametrize("address", rows(ADDRESSES))
def test_no_address_is_ever_opened(nothing_opened: list[str], address: str) -> None:
    """CVE-2026-48522, 2026-102267: keys come in as values, and whoever fetches them decides whence.

    Neither a header nor what is given in place of a JWK Set makes us open an address.
    """
    for name in ("jku", "x5u", "jwk", "kid", "iss"):
        refused_as_jws(token(THIEF, claims(), **{name: address}))
    with pytest.raises(KeyRejected):
        new_verifier(address)
    with pytest.raises(KeyRejected):
        new_verifier({"keys": [address]})


OTHER_SCHEMES = {name: uri for name, uri in ADDRESSES.items() if not uri.startswith("https")}


@pytest.mark.parametrize("address", rows(OTHER_SCHEMES))
async def test_cve_2026_48522_whoever_fetches_opens_nothing_but_https(address: str) -> None:
    with pytest.raises(ImportRejected) as caught:
        await JwksFetch(deadline_s=1.0)(address)
    assert caught.value.code == "jwks_uri"


async def test_cve_2026_102267_whoever_fetches_follows_no_redirect() -> None:
    with provider() as theirs:
        elsewhere = theirs.publish("/elsewhere", public_jwk(THIEF))
        theirs.pages["/keys"] = Page(status=302, headers={"Location": elsewhere})
        with pytest.raises(ImportRejected) as caught:
            await JwksFetch(deadline_s=5.0)(theirs.base + "/keys")
        assert caught.value.code == "redirect"
        assert theirs.requests == {"/keys": 1}


def test_cve_2026_48524_unknown_kids_fetch_nothing_and_lose_nothing(
    nothing_opened: list[str],
) -> None:
    """Each unknown kid was a fetch (101917: still was), and a failed fetch threw the keys away."""
    verifier = new_verifier()
    for number in range(200):
        assert refused(token(THIEF, claims(), kid=f"kid-{number}"), verifier) == "kid"
    for key in (RSA, EC, ED):
        verifier.verify(token(key, claims()))


# --- one token, one text --------------------------------------------------------------------------

MALLEABLE: dict[str, Callable[[], str]] = {
    "2026-102269: !!!! after the signature": lambda: good() + "!!!!",
    "2026-102269: a character that is no base64": lambda: altered(2, lambda text: text + "~"),
    "2026-102269: white space inside": lambda: altered(2, lambda text: text[:7] + "\n" + text[7:]),
    "2026-102269: the standard alphabet": lambda: _standard_alphabet(),
    "2026-102270: spare bits in the signature": lambda: altered(2, with_trailing_bits),
    "2026-102270: spare bits in the header": lambda: seal_segments(
        with_trailing_bits(head()), body()
    ),
    "2026-102270: spare bits in the payload": lambda: seal_segments(
        head(), with_trailing_bits(body())
    ),
    "2026-102270: !!!! after the header": lambda: seal_segments(head() + "!!!!", body()),
    "2026-102270: !!!! after the payload": lambda: seal_segments(head(), body() + "!!!!"),
    "2026-62995: == after the token": lambda: good() + "==",
    "2026-62995: = after the token": lambda: good() + "=",
    "2026-62995: = after the header": lambda: seal_segments(head() + "=", body()),
    "2026-62995: padded payload": lambda: seal_segments(head(), body() + "=" * (-len(body()) % 4)),
}


def seal_segments(header: str, payload: str) -> str:
    signed = f"{header}.{payload}"
    return f"{signed}.{b64(ED.sign(signed.encode()))}"


def _standard_alphabet() -> str:
    while True:
        start, middle, tail = good().split(".")
        if set(tail) & set("-_"):
            return f"{start}.{middle}.{tail.replace('-', '+').replace('_', '/')}"


@pytest.mark.parametrize("build", rows(MALLEABLE))
def test_a_text_that_decodes_to_the_same_bytes_is_refused(build: Callable[[], str]) -> None:
    """CVE-2026-102269, 2026-102270 (best guess), 2026-62995: a revoked token's text, rewritten.

    What was revoked by its text would pass again in another one. Ours is revoked by its jti, and
    has one text all the same.
    """
    refused_as_jws(build())


def test_cve_2026_102269_a_rewritten_text_is_no_cache_hit_and_no_other_token() -> None:
    """Nor does the text in the cache lend its verdict to another; ECDSA has two good signatures,
    and both are the token of that jti.
    """
    verifier = new_verifier()
    text = good()
    verifier.verify(text)
    for tail in ("!!!!", "=", "==", "A", "\n", "."):
        refused(text + tail, verifier)
    assert verifier.verify(text).claims["sub"] == "subject-17"


# --- claims ---------------------------------------------------------------------------------------

ISSUERS: dict[str, tuple[dict[str, Any], str]] = {
    "2024-53861: a part": ({"iss": ISSUER[8:]}, "iss"),
    "2024-53861: the front": ({"iss": ISSUER[:-1]}, "iss"),
    "2024-53861: one letter": ({"iss": "h"}, "iss"),
    "2024-53861: empty": ({"iss": ""}, "iss"),
    "2024-53861: longer": ({"iss": ISSUER + ".thief.example"}, "iss"),
    "2026-75509: iss an array": ({"iss": [ISSUER]}, "iss"),
    "2026-75509: iss an array with others": ({"iss": ["https://thief.example", ISSUER]}, "iss"),
    "2026-75509: iss an object": ({"iss": {ISSUER: True}}, "iss"),
    "2026-75509: sub an array": ({"sub": ["subject-17"]}, "sub"),
    "2026-75509: sub an array with others": ({"sub": ["admin", "subject-17"]}, "sub"),
    "2026-75509: jti an array": ({"jti": ["a"]}, "jti"),
    "2026-75509: client_id an array": ({"client_id": ["web"]}, "client_id"),
    "2026-75509: sid an array": ({"sid": ["session-3"]}, "sid"),
}


@pytest.mark.parametrize("row", rows(ISSUERS))
def test_claims_are_compared_whole(row: tuple[dict[str, Any], str]) -> None:
    """CVE-2024-53861, 2026-75509: `in` in place of equality, on a string or on an array."""
    changes, code = row
    assert refused(good(**changes)) == code


@pytest.mark.parametrize("depth", [254, 260, 1_000, 2_400])
@pytest.mark.parametrize("opened", [True, False])
def test_cve_2026_101918_nesting_is_refused_like_anything_else(depth: int, opened: bool) -> None:
    """RecursionError escaped from a nested payload, and from a nested header (102265): a 500."""
    value = "[" * depth if opened else nest(depth)
    refused(payload_with(f'"x":{value}'))
    flat = json.dumps(header_of(ED))
    nested = seal(f'{{"x":{value[:700]},{flat[1:]}', claims(), ED.sign)
    assert refused_as_jws(nested) == "header"
    objects = '{"a":' * depth + "1" + "}" * depth
    refused(payload_with(f'"x":{objects}'))


# --- keys, sets and documents ---------------------------------------------------------------------

MALFORMED_KEYS: dict[str, Any] = {
    "RSA without n": {"kty": "RSA", "e": "AQAB"},
    "RSA n a number": {"kty": "RSA", "n": 7, "e": "AQAB"},
    "RSA n empty": {"kty": "RSA", "n": "", "e": "AQAB"},
    "RSA n no base64": {"kty": "RSA", "n": "!!!!", "e": "AQAB"},
    "RSA e = 1": rsa_jwk(2**2047 + 3, 1),
    "RSA e beyond n": rsa_jwk(2**2047 + 3, 2**2048 + 1),
    "RSA n of zeros": {"kty": "RSA", "n": b64(bytes(256)), "e": "AQAB"},
    "RSA n an array": {"kty": "RSA", "n": ["AQAB"], "e": "AQAB"},
    "kty a list": {"kty": ["RSA"]},
    "no object": "RSA",
    "null": None,
    "a number": 7,
    "nested": json.loads(nest(200)),
}


@pytest.mark.parametrize("key", rows(MALFORMED_KEYS))
@pytest.mark.parametrize("place", [0, 1, 3])
def test_cve_2026_102274_one_bad_key_spoils_no_set(key: Any, place: int) -> None:
    """A malformed RSA member raised what nobody caught, and all the set's keys were lost."""
    members: list[Any] = list(JWKS["keys"])
    members.insert(place, key)
    found = jwk.from_jwks({"keys": members})
    assert set(found.keys) == {RSA.kid, EC.kid, ED.kid}
    assert len(found.skipped) == 1
    for jwks in ({"keys": members}, json.dumps({"keys": members})):
        verifier = new_verifier(jwks)
        for signed_by in (RSA, EC, ED):
            verifier.verify(token(signed_by, claims()))


@pytest.mark.parametrize("own", [True, False])
def test_cve_2026_102275_a_private_key_in_a_set_is_no_key(own: bool) -> None:
    """`x` of one key and `d` of another: who checks sees one key, who verifies uses the other."""
    raw = signer("Ed25519", "token" if own else "thief").private_key.private_bytes_raw()  # type: ignore[union-attr]
    both = {**public_jwk(ED), "d": b64(raw)}
    with pytest.raises(KeyRejected):
        jwk.from_jwk(both)
    verifier = new_verifier({"keys": [both, public_jwk(RSA)]})
    for key in (ED, signer("Ed25519", "thief")):
        with pytest.raises(TokenRejected):
            verifier.verify(token(key, claims(), kid=ED.kid))
    with pytest.raises(KeyRejected):
        jwk.from_pem(private_pem(ED))


@pytest.mark.parametrize("signatures", [[], [{}], [{"protected": "", "signature": ""}], None, {}])
def test_cve_2026_102946_no_signatures_are_no_signature_of_a_token(signatures: Any) -> None:
    """A loop over no signatures found none that was bad."""
    refused_as_jws(json_serialization(signatures=signatures))


def test_cve_2026_102946_no_signatures_are_no_signature_of_a_keyset() -> None:
    """The same loop stands under our keysets, which are signed by k of n roots."""
    signed = signed_keyset()
    keys = {ROOT.kid: ROOT.public}
    assert signed_document.signers_of(signed, keys, KEYSET_TYP) == {ROOT.kid}
    forged = {
        "none": (),
        "by another": signed_keyset(by=[STANDBY_KEY]).signatures,
        "of another document": signed_keyset(version=2).signatures,
    }
    for signatures in forged.values():
        unsigned_by_root = SignedDocument(signed.payload, signatures)
        assert signed_document.signers_of(unsigned_by_root, keys, KEYSET_TYP) == frozenset()
        with pytest.raises(DocumentRejected):
            Trust(ISSUER, pinned()).accept(unsigned_by_root)
    with pytest.raises(DocumentRejected):
        Trust(ISSUER, pinned(threshold=2)).accept(
            SignedDocument(signed.payload, signed.signatures * 2)
        )
    Trust(ISSUER, pinned()).accept(signed)


def test_the_forgeries_start_from_what_is_good() -> None:
    """Else they might be refused for a mistake of the test's own."""
    assert isinstance(RSA.private_key, rsa.RSAPrivateKey)
    verifier = new_verifier()
    for text in (good(), headed(x="harmless"), ed_signed(bytes), seal_segments(head(), body())):
        verifier.verify(text)
        jws.verify_compact(text, KEYS)
    verifier.verify(payload_with(f'"x":{nest(250)}'))
