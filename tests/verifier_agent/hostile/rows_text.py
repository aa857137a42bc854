"""Rows: JSON, encodings, nesting, numbers, sizes and base64url."""

from __future__ import annotations

import json
import zlib

from tests.support.clock import NOW
from tests.support.forge import b64, header_of, octets, seal, seal_text
from tests.support.tokens import claims
from tests.verifier_agent.hostile.build import (
    MAIN,
    Builder,
    altered,
    body,
    claim_text,
    good,
    head,
    headed,
    header_with,
    nest,
    pad_to,
    payload_with,
    raw_header,
    raw_payload,
    standard_alphabet,
    with_trailing_bits,
)

TWICE = json.dumps(claims(sub="victim"))[1:]

TEXT: list[tuple[str, Builder]] = [
    # duplicate names
    ("sub twice, last wins", lambda: raw_payload('{"sub":"admin",' + TWICE)),
    ("sub twice, first wins", lambda: raw_payload("{" + TWICE[:-1] + ',"sub":"admin"}')),
    ("exp twice", lambda: payload_with(f'"exp":{NOW + 10**6}')),
    ("sub twice, once escaped", lambda: payload_with(r'"s\u0075b":"admin"')),
    ("a name twice inside a claim", lambda: payload_with('"x":{"a":1,"a":2}')),
    ("a name twice deep inside", lambda: payload_with('"x":[[{"y":{"a":1,"b":2,"a":1}}]]')),
    ("alg twice", lambda: header_with('"alg":"none"')),
    ("kid twice", lambda: header_with('"kid":"other"')),
    ("typ twice", lambda: header_with('"typ":"JWT"')),
    ("typ twice, the same", lambda: header_with('"typ":"at+jwt"')),
    ("a name 900 times", lambda: payload_with(",".join(['"x":1'] * 900))),
    ("400 names twice each", lambda: payload_with(",".join(f'"{n % 400}":1' for n in range(800)))),
    ("a name 250 times in the header", lambda: header_with(",".join(['"x":1'] * 250))),
    (
        "a name twice after 5 KB of spaces",
        lambda: raw_payload("{" + " " * 5000 + TWICE[:-1] + ',"sub":"a"}'),
    ),
    # text that is not plain UTF-8
    ("payload in UTF-16 with a mark", lambda: raw_payload(json.dumps(claims()).encode("utf-16"))),
    ("payload in UTF-16-LE", lambda: raw_payload(json.dumps(claims()).encode("utf-16-le"))),
    ("payload in UTF-32", lambda: raw_payload(json.dumps(claims()).encode("utf-32"))),
    ("payload with a BOM", lambda: raw_payload(b"\xef\xbb\xbf" + octets(claims()))),
    ("header in UTF-16", lambda: raw_header(json.dumps(header_of(MAIN)).encode("utf-16"))),
    ("header with a BOM", lambda: raw_header(b"\xef\xbb\xbf" + octets(header_of(MAIN)))),
    ("a lone surrogate, escaped", lambda: payload_with(r'"x":"\ud800"')),
    ("a lone low surrogate, escaped", lambda: payload_with(r'"x":"\udc00"')),
    ("a lone surrogate in sub", lambda: claim_text("sub", r'"a\ud83d"')),
    ("surrogates in the wrong order", lambda: payload_with(r'"x":"\ude00\ud83d"')),
    ("a lone surrogate in kid", lambda: header_with(r'"x":"\ud800"')),
    (
        "a surrogate in raw bytes",
        lambda: raw_payload(b'{"x":"\xed\xa0\x80",' + octets(claims())[1:]),
    ),
    ("overlong UTF-8", lambda: raw_payload(b'{"x":"\xc0\xaf",' + octets(claims())[1:])),
    ("Latin-1", lambda: raw_payload(b'{"x":"\xe9",' + octets(claims())[1:])),
    ("a NUL byte after the object", lambda: raw_payload(octets(claims()) + b"\0")),
    ("a raw control character", lambda: raw_payload(b'{"x":"\n",' + octets(claims())[1:])),
    # not an object, not JSON
    ("payload an array", lambda: raw_payload("[1]")),
    ("payload a string", lambda: raw_payload('"x"')),
    ("payload null", lambda: raw_payload("null")),
    ("payload empty text", lambda: raw_payload(" ")),
    ("payload with a comma too many", lambda: raw_payload(json.dumps(claims())[:-1] + ",}")),
    ("payload with a comment", lambda: raw_payload("/**/" + json.dumps(claims()))),
    ("payload in single quotes", lambda: raw_payload(str(claims()))),
    ("payload and one object more", lambda: raw_payload(json.dumps(claims()) + "{}")),
    ("header an array", lambda: raw_header(json.dumps([header_of(MAIN)]))),
    # nesting and numbers
    ("payload nested 20,000 deep", lambda: payload_with('"x":' + nest(20_000))),
    ("payload nested 2,500 deep", lambda: payload_with('"x":' + nest(2_500))),
    ("payload nested 1,000 deep", lambda: payload_with('"x":' + nest(1_000))),
    ("payload nested 260 deep", lambda: payload_with('"x":' + nest(260))),
    (
        "payload objects nested 900 deep",
        lambda: payload_with('"x":' + '{"a":' * 900 + "1" + "}" * 900),
    ),
    ("payload opened 5,000 times and never closed", lambda: raw_payload('{"x":' + "[" * 5000)),
    ("header nested 700 deep", lambda: header_with('"x":' + nest(700))),
    ("header nested 260 deep", lambda: header_with('"x":' + nest(260))),
    ("exp of 5,000 digits", lambda: claim_text("exp", "9" * 5000)),
    ("a claim of 5,000 digits", lambda: payload_with('"x":' + "9" * 5000)),
    ("a negative claim of 5,000 digits", lambda: payload_with('"x":-' + "9" * 5000)),
    ("header number of 1,000 digits", lambda: header_with('"x":' + "9" * 1000)),
    ("a claim of 2^64", lambda: payload_with('"x":18446744073709551616')),
    ("a claim of 1e999", lambda: payload_with('"x":1e999')),
    ("a claim of -Infinity", lambda: payload_with('"x":-Infinity')),
    ("a header number of NaN", lambda: header_with('"x":NaN')),
    ("300 integers beyond 64 bits", lambda: payload_with(f'"x":[{",".join(["9" * 20] * 250)}]')),
    ("a float of 5,000 digits, too large", lambda: payload_with('"x":' + "9" * 5000 + ".0")),
    # size and encryption
    ("8,193 characters or a little more", lambda: pad_to(8193)),
    ("a good token of 100 KB", lambda: pad_to(100_000)),
    ("10 MB of one character", lambda: "a" * 10_000_000),
    ("header of 3 KB", lambda: headed(x="x" * 2300)),
    ("a JWE of five parts", lambda: ".".join([b64(b'{"alg":"dir","enc":"A256GCM"}'), *"abcd"])),
    (
        "a JWE with a huge p2c",
        lambda: ".".join(
            [
                b64(b'{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483647,"p2s":"YQ"}'),
                *(["AAAA"] * 4),
            ]
        ),
    ),
    ("p2c in a JWS", lambda: headed(p2c=2_147_483_647, p2s="YQ")),
    (
        "a zip bomb",
        lambda: seal(header_of(MAIN, zip="DEF"), zlib.compress(bytes(4_000_000), 9), MAIN.sign),
    ),
    ("zip over a plain payload", lambda: headed(zip="DEF")),
    ("a compressed payload without zip", lambda: raw_payload(zlib.compress(octets(claims())))),
    # base64url
    (
        "trailing bits in the header",
        lambda: seal_text(with_trailing_bits(head()), body(), MAIN.sign),
    ),
    (
        "trailing bits in the payload",
        lambda: seal_text(head(), with_trailing_bits(body()), MAIN.sign),
    ),
    ("trailing bits in the signature", lambda: altered(2, with_trailing_bits)),
    ("= after the header", lambda: seal_text(head() + "=", body(), MAIN.sign)),
    ("== after the payload", lambda: seal_text(head(), body() + "==", MAIN.sign)),
    ("== after the signature", lambda: good() + "=="),
    ("= inside the payload", lambda: seal_text(head(), body()[:8] + "=" + body()[8:], MAIN.sign)),
    ("a newline at the end", lambda: good() + "\n"),
    ("a space at the start", lambda: " " + good()),
    ("a newline in the signature", lambda: altered(2, lambda text: text[:9] + "\n" + text[9:])),
    ("a space in the payload", lambda: seal_text(head(), body()[:8] + " " + body()[8:], MAIN.sign)),
    ("CRLF in the header", lambda: seal_text(head()[:8] + "\r\n" + head()[8:], body(), MAIN.sign)),
    ("a tab in the payload", lambda: seal_text(head(), body()[:8] + "\t" + body()[8:], MAIN.sign)),
    ("a NUL in the signature", lambda: altered(2, lambda text: text + "\0")),
    ("a full stop of another script", lambda: good().replace(".", "\u3002")),
    ("a letter that looks like A", lambda: altered(2, lambda text: "\u0410" + text[1:])),
    ("an accent in the payload", lambda: altered(1, lambda text: text[:-1] + "\u00e9")),
    ("a lone surrogate in the token", lambda: altered(1, lambda text: text + "\ud800")),
    ("+ and / in the signature", lambda: standard_alphabet(2)),
    ("+ and / in the payload", lambda: standard_alphabet(1)),
    ("percent-encoded", lambda: good().replace("-", "%2D").replace(".", "%2E")),
]
