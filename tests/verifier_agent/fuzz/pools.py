"""What mutations choose from: values at the edges of what somebody might accept."""

from __future__ import annotations

EDGES = [0, 1, 4, 5, 6, 7, 29, 30, 31, 32, 600, 86_399, 86_400, 86_401, 10**6, 10**9]
LEEWAYS = [4, 5, 6, 29, 30, 31]
NUMBERS = [
    "0", "-0", "-1", "1", "1.0", "1e3", "1E400", "-1e999", "1e-400", "NaN", "Infinity", "-Infinity",
    "9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551615",
    "18446744073709551616", "-9223372036854775808", "-9223372036854775809", "1" + "0" * 400,
    "0.1", "1.7600028e9", "100000000000000000000.0", "01", "+1", ".5", "1.", "0x10", "1_000",
    "123456789012345678901234567890", "-" + "9" * 50, "5e-324", "1e16", "1e22", "1.0e+2",
]  # fmt: skip
STRINGS = [
    '""', '"x"', '"\\ud800"', '"\\ude00\\ud83d"', '"\\ud83d\\ude00"', '"\\u0000"', '"a\\u0062c"',
    '"\\/"', '"é"', '"中文"', '"\U0001f514"', '"\\n"', '"\n"', '"\x7f"', '"\u2028"', '"\ufeff"',
    '"' + "k" * 255 + '"', '"' + "k" * 256 + '"', '"\ufffe"', "'x'", '"\\x41"', '"\\ud83dx"',
]  # fmt: skip
OTHERS = [
    "null", "true", "false", "[]", "{}", "[null]", '["x"]', "[1]", '{"a":1}', '{"a":1,"a":2}',
    '[{"b":{"c":1,"d":2,"c":1}}]', "nul", "[1,]", "", "{", '[[["deep"]]]', '{"":0}',
]  # fmt: skip
DEPTHS = [3, 60, 120, 250, 252, 253, 254, 255, 256, 300, 700, 990, 1200, 2600]
COUNTS = [8, 480, 500, 505, 512, 513, 900]
TIMES = ("exp", "iat", "nbf")
CLAIMS = (
    "iss", "sub", "aud", "client_id", "iat", "nbf", "exp", "jti", "sid", "scope", "role", "perms",
    "act", "orig",
)  # fmt: skip
HEADER_NAMES = (
    "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip", "enc", "epk", "apu", "apv",
    "iv", "tag", "p2s", "p2c", "cty", "url", "nonce", "svt", "iss", "x",
)  # fmt: skip
HEADER_VALUES = [
    "true", "false", "null", '"x"', '["b64"]', '["exp"]', "[]", '["x","x"]', "{}", "1", '"DEF"',
    '"https://thief.example/k"', '{"kty":"oct","k":"AA"}', '["MIIB"]', "2147483647", '"at+jwt"',
]  # fmt: skip
ALG_NAMES = [
    "RS256", "ES256", "Ed25519", "EdDSA", "none", "nOnE", "None", "HS256", "HS384", "HS512",
    "PS256", "RS384", "RS512", "ES384", "ES256K", "Ed448", "RS256 ", "rs256", "",
]  # fmt: skip
TYPES = [
    "at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt", "JWT", "jwt", "secevent+jwt",
    "logout+jwt", "statuslist+jwt", "dpop+jwt", "at+jwt ", "application/application/at+jwt", "",
    "text/at+jwt", "at+jwt;v=1",
]  # fmt: skip
KIDS = [
    "@kid:RS256", "@kid:ES256", "@kid:Ed25519", "../../etc/passwd", "x' OR 1=1 --", "a\\u0000b", "",
    "k" * 256, "k" * 257, "@kid:RS256 ", "unknown",
]  # fmt: skip
PIECES = [
    "A", "=", "==", "+", "/", " ", "\n", "\t", "\r\n", "\0", ".", "..", "-", "_", "%2E", "é", "Ａ",
    "\ud800", "!!!!", "~", "AAAA", "\u200b", "\x7f",
]  # fmt: skip
FORMS = ["empty", "short", "pem", "crlf", "pkcs1", "der", "ssh", "jwk", "jwks"]
ENCODINGS = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "latin-1", "utf-7"]
RAW = ["00", "0a", "20", "22", "2c", "5c", "7d", "c0af", "eda080", "ff", "e9", "efbbbf", "2f2a2a2f"]
