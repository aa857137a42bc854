"""Claims as headers: whatever is in a claim, a header holds nothing but that claim."""

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_schemas.errors import RequestRejected
from tocsin_verifier_agent.core import access_token
from tocsin_verifier_agent.core.verified import Verified
from tocsin_verifier_agent.sidecar import headers
from tocsin_verifier_agent.sidecar.demands import Demands, demands_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
BASE = {"iss": "https://i.example", "aud": "orders", "sub": "u", "iat": 1, "exp": 2}


def verified(**claims: Any) -> Verified:
    return Verified(b"{}", access_token.from_claims({**BASE, **claims}), time.time())


def as_text(one: Verified) -> dict[str, str]:
    return {name.decode(): value.decode("ascii") for name, value in headers.of(one)}


@given(sub=TEXTS, sid=TEXTS, client_id=TEXTS, jti=TEXTS, perms=st.lists(TEXTS, max_size=5))
def test_every_claim_comes_back(
    sub: str, sid: str, client_id: str, jti: str, perms: list[str]
) -> None:
    given = as_text(verified(sub=sub, sid=sid, client_id=client_id, jti=jti, perms=perms))
    assert tuple(given) == tuple(name.lower() for name in headers.NAMES)
    for name, value in given.items():
        assert re.fullmatch(r"[!#-+\--:@-~ ]*", value), (name, value)
        assert " " not in value or name == "x-tocsin-permissions"
        assert "," not in value and ";" not in value and '"' not in value
    assert headers.decode(given["x-tocsin-subject"]) == sub
    assert headers.decode(given["x-tocsin-session"]) == sid
    assert headers.decode(given["x-tocsin-client"]) == client_id
    assert headers.decode(given["x-tocsin-token-id"]) == jti
    words = given["x-tocsin-permissions"].split(" ") if perms else []
    assert {headers.decode(word) for word in words} == set(perms)


def test_claims_that_want_to_be_more() -> None:
    given = as_text(
        verified(
            sub="u\r\nX-Tocsin-Permissions: root",
            client_id='a, b; c="d" %41',
            perms=["orders:read orders:admin", "a\x00b"],
            scope="x y",
        )
    )
    assert given["x-tocsin-subject"] == "u%0D%0AX-Tocsin-Permissions:%20root"
    assert given["x-tocsin-client"] == "a%2C%20b%3B%20c%3D%22d%22%20%2541"
    assert given["x-tocsin-permissions"].split(" ") == [
        "a%00b",
        "orders:read%20orders:admin",
        "x",
        "y",
    ]


def test_what_is_not_claimed_is_empty_and_there() -> None:
    given = as_text(verified())
    empty = {name for name, value in given.items() if value == ""}
    assert empty == {
        "x-tocsin-client",
        "x-tocsin-session",
        "x-tocsin-permissions",
        "x-tocsin-token-id",
        "x-tocsin-unproven",
        "x-tocsin-would-deny",
    }
    assert given["x-tocsin-issuer"] == "https://i.example"


def test_what_was_accepted_without_a_proof_says_so() -> None:
    one = Verified(b"{}", verified().token, 1.0, unproven="lease_lapsed")
    assert as_text(one)["x-tocsin-unproven"] == "lease_lapsed"
    one = Verified(b"{}", verified().token, 1.0, would_deny="session_revoked")
    assert as_text(one)["x-tocsin-would-deny"] == "session_revoked"


@pytest.mark.parametrize(("aud", "good"), [("orders", True), (["a", "orders"], True), ("a", False)])
def test_an_audience_that_is_demanded(aud: Any, good: bool) -> None:
    assert Demands(audiences=("orders",)).are_for(verified(aud=aud)) is good


def test_headers_that_demand() -> None:
    found = demands_of([(b"x-tocsin-max-staleness", b"7.5"), (b"accept", b"*/*")], b"require=a+b")
    assert found == Demands(("a", "b"), (), 7.5)
    for value in (b"", b"a  b", b"a\xff", b'a"b', b"a\\b"):
        with pytest.raises(RequestRejected):
            demands_of([(b"x-tocsin-require", value)], b"")
