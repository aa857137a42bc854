"""Lines of a bulk revocation: however the stream is cut, and whatever stands in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_issuer.revoking import lines
from tocsin_issuer.revoking.lines import MAX_LINE, LineCutter
from tocsin_schemas.errors import RequestRejected


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_where_the_stream_is_cut_does_not_matter(data: bytes, places: list[int]) -> None:
    cutter = LineCutter()
    ends = sorted({min(place, len(data)) for place in places} | {len(data)})
    found: list[bytes] = []
    start = 0
    for end in ends:
        found += cutter.feed(data[start:end])
        start = end
    found += cutter.end()
    whole = data.split(b"\n")
    assert found == (whole if whole[-1] else whole[:-1])


def test_of_a_line_without_an_end_little_is_kept() -> None:
    cutter = LineCutter()
    for _ in range(50):
        assert cutter.feed(b"x" * 1000) == []
    (line, following) = cutter.feed(b"\na 5\n")
    assert MAX_LINE < len(line) < 2 * MAX_LINE
    assert following == b"a 5"


@pytest.mark.parametrize(
    ("line", "token"),
    [
        (b"a-jti 1790000000", ("a-jti", 1790000000)),
        (b"  a-jti\t1790000000\r", ("a-jti", 1790000000)),
        ("ü 1".encode(), ("ü", 1)),
        (b'{"jti":"a jti","exp":1790000000}', ("a jti", 1790000000)),
        (b'{ "exp": 5, "jti": "\\u00fc" }', ("ü", 5)),
        (b"", None),
        (b" \r", None),
    ],
)
def test_what_is_read(line: bytes, token: tuple[str, int] | None) -> None:
    assert lines.read(line) == token


@pytest.mark.parametrize(
    "line",
    [
        b"a-jti",
        b"a jti 5",
        b"a-jti 0",
        b"a-jti -5",
        b"a-jti 5.0",
        b"a-jti 1e9",
        b"a-jti \xd9\xa5",  # a digit, though not ours
        b"a-jti 99999999999999",
        b"a-jti 9999999999999",
        b"\xff 5",
        b"a\x00b 5",
        b"x" * 256 + b" 5",
        b'{"jti":"a"}',
        b'{"jti":"","exp":5}',
        b'{"jti":"a","exp":"5"}',
        b'{"jti":"a","exp":5.5}',
        b'{"jti":"a","exp":true}',
        b'{"jti":"a","exp":5,"iss":"b"}',
        b'{"jti":"a","jti":"b","exp":5}',
        b'{"jti":"\\ud800","exp":5}',
        b'{"jti":"a","exp":5}}',
        b'["a",5]',
    ],
)
def test_what_is_refused(line: bytes) -> None:
    with pytest.raises(RequestRejected) as caught:
        lines.read(line)
    assert caught.value.code == "line_malformed"
    assert str(caught.value) == "no jti and exp"


def test_a_line_that_is_too_long() -> None:
    with pytest.raises(RequestRejected) as caught:
        lines.read(b"a 5" + b" " * MAX_LINE)
    assert caught.value.code == "line_too_long"
