"""Rows: algorithms, segments, key confusion, kids, keys in the header, ``crit``."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.clock import NOW
from tests.support.forge import b64, header_of, octets, seal, seal_text, token
from tests.support.keys import public_jwk
from tests.support.tokens import claims
from tests.verifier_agent.hostile.build import (
    EC,
    ED,
    JWKS,
    MAIN,
    RSA,
    THIEF,
    Builder,
    altered,
    good,
    headed,
    header_with,
    hs,
    json_serialization,
    pem,
    pss,
    rsa_other,
    rsa_public,
    unsigned,
)

HEADER: list[tuple[str, Builder]] = [
    # alg
    ("alg none, no signature", lambda: unsigned(alg="none")),
    ("alg nOnE, no signature", lambda: unsigned(alg="nOnE")),
    ("alg NONE with a signature", lambda: headed(alg="NONE")),
    ("alg none, signature of one zero byte", lambda: unsigned(alg="none") + "AA"),
    ("alg missing", lambda: headed(alg=None)),
    ("alg null", lambda: header_with('"alg":null')),
    ("alg empty", lambda: headed(alg="")),
    ("alg an array", lambda: headed(alg=["Ed25519"])),
    ("alg an array with none", lambda: headed(alg=["none", "Ed25519"])),
    ("alg a number", lambda: headed(alg=1)),
    ("alg an object", lambda: headed(alg={"Ed25519": 1})),
    ("alg in lower case", lambda: headed(alg="ed25519")),
    ("alg with a space", lambda: headed(alg="Ed25519 ")),
    ("alg with a NUL", lambda: headed(alg="Ed25519\0")),
    ("alg Ed448 over an Ed25519 key", lambda: headed(alg="Ed448")),
    # segments
    ("empty", lambda: ""),
    ("no dot", lambda: "token"),
    ("two segments", lambda: good().rsplit(".", 1)[0]),
    ("two dots alone", lambda: ".."),
    ("empty header", lambda: "." + good().split(".", 1)[1]),
    ("empty payload", lambda: "{0}..{2}".format(*good().split("."))),
    ("empty signature under a good header", unsigned),
    ("four segments", lambda: good() + ".AAAA"),
    ("trailing dot", lambda: good() + "."),
    ("leading dot", lambda: "." + good()),
    ("8,000 dots", lambda: "." * 8000),
    ("Bearer in front", lambda: "Bearer " + good()),
    ("not a string: bytes", lambda: good().encode()),
    ("not a string: None", lambda: None),
    ("not a string: a subclass of str", lambda: type("Token", (str,), {})(good())),
    ("not a string: a bytearray", lambda: bytearray(good().encode())),
    ("not a string: a number", lambda: 7),
    ("not a string: a list", lambda: good().split(".")),
    # the public key as an HMAC secret
    ("HS256 with the PEM", lambda: hs(pem())),
    ("HS256 with the PEM without its last newline", lambda: hs(pem().rstrip())),
    ("HS256 with the PEM in CRLF", lambda: hs(pem().replace(b"\n", b"\r\n"))),
    ("HS256 with the PEM in one line", lambda: hs(pem().replace(b"\n", b""))),
    (
        "HS256 with the PKCS #1 PEM",
        lambda: hs(rsa_public(Encoding.PEM, PublicFormat.PKCS1)),
    ),
    (
        "HS256 with the DER",
        lambda: hs(rsa_public(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
    ),
    (
        "HS256 with the SSH form",
        lambda: hs(rsa_public(Encoding.OpenSSH, PublicFormat.OpenSSH)),
    ),
    ("HS256 with the JWK", lambda: hs(json.dumps(public_jwk(RSA)).encode())),
    (
        "HS256 with the JWK, compact",
        lambda: hs(json.dumps(dict(RSA.public.jwk), separators=(",", ":")).encode()),
    ),
    ("HS256 with the JWK Set", lambda: hs(json.dumps(JWKS).encode())),
    ("HS256 with the thumbprint", lambda: hs(RSA.kid.encode())),
    ("HS384 with the PEM", lambda: hs(pem(), "HS384")),
    ("HS512 with the PEM", lambda: hs(pem(), "HS512")),
    ("HS256 with an empty key", lambda: hs(b"")),
    ("HS256 with a short key", lambda: hs(b"secret")),
    ("HS256 with a key of zeros", lambda: hs(bytes(32))),
    ("HS256 under the Ed25519 kid, raw key", lambda: hs(octets(ED.public.jwk["x"]), kid=ED.kid)),
    # an allowed alg that is not the key's
    ("RS256 under the EC kid", lambda: seal(header_of(EC, alg="RS256"), claims(), RSA.sign)),
    ("ES256 under the RSA kid", lambda: seal(header_of(RSA, alg="ES256"), claims(), EC.sign)),
    ("Ed25519 under the RSA kid", lambda: seal(header_of(RSA, alg="EdDSA"), claims(), ED.sign)),
    ("alg RS256 over an EC signature", lambda: token(EC, claims(), alg="RS256")),
    ("PS256 under the RSA kid", lambda: rsa_other("PS256", pss(), SHA256())),
    ("PS256 signature under RS256", lambda: rsa_other("RS256", pss(), SHA256())),
    ("RS512 under the RSA kid", lambda: rsa_other("RS512", padding.PKCS1v15(), SHA512())),
    ("RS512 signature under RS256", lambda: rsa_other("RS256", padding.PKCS1v15(), SHA512())),
    ("RS384 signature under RS256", lambda: rsa_other("RS256", padding.PKCS1v15(), SHA384())),
    ("another key's signature", lambda: seal(header_of(EC), claims(), THIEF.sign)),
    ("the signature of another payload", lambda: altered(1, lambda _: b64(octets(claims())))),
    # kid
    ("kid missing", lambda: headed(kid=None)),
    ("kid null", lambda: header_with('"kid":null')),
    ("kid empty", lambda: headed(kid="")),
    ("kid a number", lambda: headed(kid=0)),
    ("kid an array", lambda: headed(kid=[MAIN.kid])),
    ("kid an object", lambda: headed(kid={"kid": MAIN.kid})),
    ("kid a path", lambda: headed(kid="../../../../dev/null")),
    ("kid SQL", lambda: headed(kid="x' UNION SELECT 'key' --")),
    ("kid a command", lambda: headed(kid="key|/usr/bin/id")),
    ("kid with a NUL after the good one", lambda: headed(kid=MAIN.kid + "\0")),
    ("kid with a space after the good one", lambda: headed(kid=MAIN.kid + " ")),
    ("kid in another case", lambda: headed(kid=MAIN.kid.swapcase())),
    ("kid a URL", lambda: headed(kid="https://thief.example/key")),
    ("kid of 257 characters", lambda: headed(kid="k" * 257)),
    ("kid of 64 KB", lambda: headed(kid="k" * 65536)),
    ("kid unknown", lambda: token(THIEF, claims())),
    (
        "kid a thumbprint URI",
        lambda: headed(kid=f"urn:ietf:params:oauth:jwk-thumbprint:{MAIN.kid}"),
    ),
    # keys and addresses in the header
    ("jwk, signed by it", lambda: token(THIEF, claims(), kid=MAIN.kid, jwk=public_jwk(THIEF))),
    ("jwk beside its own kid", lambda: token(THIEF, claims(), jwk=public_jwk(THIEF))),
    ("jwk, but signed by the good key", lambda: headed(jwk=public_jwk(MAIN.key))),
    ("jku", lambda: token(THIEF, claims(), jku="https://thief.example/jwks.json")),
    ("jku, but signed by the good key", lambda: headed(jku="https://thief.example/jwks.json")),
    ("jku a file", lambda: headed(jku="file:///etc/passwd")),
    ("x5u", lambda: token(THIEF, claims(), x5u="https://thief.example/cert.pem")),
    ("x5u, but signed by the good key", lambda: headed(x5u="http://169.254.169.254/")),
    ("x5c", lambda: token(THIEF, claims(), x5c=["MIIB"])),
    ("x5c, but signed by the good key", lambda: headed(x5c=["MIIB"])),
    # crit and b64
    ("crit unknown", lambda: headed(crit=["x-mfa"], **{"x-mfa": True})),
    ("crit known to others", lambda: headed(crit=["exp"], exp=NOW + 60)),
    ("crit names what is absent", lambda: headed(crit=["x-mfa"])),
    ("crit empty", lambda: headed(crit=[])),
    ("crit null", lambda: header_with('"crit":null')),
    ("crit a string", lambda: headed(crit="x-mfa")),
    ("crit duplicated inside", lambda: headed(crit=["x-mfa", "x-mfa"], **{"x-mfa": True})),
    ("crit a duplicated name", lambda: header_with('"crit":["a"],"crit":[]')),
    ("b64 false", lambda: headed(b64=False)),
    ("b64 false and critical", lambda: headed(b64=False, crit=["b64"])),
    ("b64 true", lambda: headed(b64=True)),
    (
        "b64 false over an unencoded payload",
        lambda: seal_text(
            b64(octets(header_of(MAIN, b64=False, crit=["b64"]))), json.dumps(claims()), MAIN.sign
        ),
    ),
    ("crit, its name escaped", lambda: header_with(r'"\u0063rit":["x-mfa"]')),
    ("jku, its name escaped", lambda: header_with(r'"\u006aku":"https://thief.example/"')),
    ("b64, its name escaped", lambda: header_with(r'"b\u00364":false')),
    (
        "b64 false, detached",
        lambda: "{0}..{2}".format(*headed(b64=False, crit=["b64"]).split(".")),
    ),
    # other serializations
    ("JSON serialization, general", json_serialization),
    ("JSON serialization, signatures: []", lambda: json_serialization(signatures=[])),
    (
        "JSON serialization, flattened",
        lambda: json.dumps(
            dict(zip(("protected", "payload", "signature"), good().split("."), strict=True))
        ),
    ),
    ("a JSON string around it", lambda: json.dumps(good())),
]
