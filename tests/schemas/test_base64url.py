"""The decoder is exactly the inverse of the encoder: what that never wrote, it does not read."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.forge import b64
from tocsin_schemas import base64url
from tocsin_schemas.errors import EncodingRejected

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.binary(max_size=200))
def test_it_reads_what_it_writes(data: bytes) -> None:
    text = base64url.encode(data)
    assert text == b64(data)
    assert set(text) <= set(ALPHABET)
    assert base64url.decode(text) == data


_NEAR_MISSES = st.text(alphabet=ALPHABET + "=+/ \n\t.\0Aé\u0410\ud800", max_size=12)


@settings(max_examples=500)
@given(_NEAR_MISSES | st.text(alphabet=ALPHABET, max_size=12) | st.text(max_size=8))
@example("A")
@example("AB")
@example("AB==")
@example("QQ==\n")
@example("QUI=QUI")
@example("====")
def test_whatever_it_reads_it_would_have_written(text: str) -> None:
    try:
        data = base64url.decode(text)
    except EncodingRejected as rejected:
        assert rejected.code == "base64url"
    else:
        assert base64url.encode(data) == text


def test_each_value_has_one_text() -> None:
    """All texts of four characters or fewer over a small alphabet: no two give the same bytes."""
    letters = ["", *"ABQgwz09-_"]
    texts = {a + b + c + d for a in letters for b in letters for c in letters for d in letters}
    seen: dict[bytes, str] = {}
    for text in texts:
        try:
            data = base64url.decode(text)
        except EncodingRejected:
            continue
        assert seen.setdefault(data, text) == text


@pytest.mark.parametrize("length", [1, 5, 9, 8193])
def test_no_text_has_length_4n_plus_1(length: int) -> None:
    with pytest.raises(EncodingRejected):
        base64url.decode("A" * length)
