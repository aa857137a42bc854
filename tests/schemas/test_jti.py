"""The issuer's token ids: every part comes back, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_schemas import base64url, jti

_HOURS = st.integers(0, 2**24 - 1)
_RANDOM = st.binary(min_size=9, max_size=9)
_TAIL = st.binary(min_size=5, max_size=5)


@given(_HOURS, _RANDOM, st.integers(0, 2**32 - 1), _TAIL)
def test_compose_and_parse_are_inverse(hour: int, name: bytes, counter: int, tail: bytes) -> None:
    lane = jti.lane(hour, name)
    text = jti.compose(lane, counter, tail)
    assert len(text) == 28
    assert jti.parse(text) == jti.place(lane, counter)
    assert jti.hour_of(lane) == hour


@given(st.text(max_size=30) | st.text(alphabet="AZaz09-_=+/\n é", min_size=26, max_size=30))
def test_only_28_characters_of_the_alphabet_are_an_own_id(text: str) -> None:
    place = jti.parse(text)
    own = len(text) == 28 and all(one.isascii() and (one.isalnum() or one in "-_") for one in text)
    assert (place is not None) == own


_OWN = st.text(alphabet="AZaz09-_", min_size=28, max_size=28)


@given(st.lists(_OWN) | st.lists(_OWN | st.text(alphabet="AZ09-_=é\n", max_size=29)))
def test_many_are_read_as_each_by_itself(texts: list[str]) -> None:
    assert jti.parse_all(texts) == [jti.parse(text) for text in texts]


@pytest.mark.parametrize(
    "text", ["A" * 27 + "\n", "A" * 28 + "\n", "A" * 27, "A" * 29, "A" * 27 + "="]
)
def test_lengths_and_line_ends(text: str) -> None:
    assert jti.parse(text) is None


@given(_TAIL, _TAIL)
def test_the_random_tail_is_no_part_of_the_place(one: bytes, two: bytes) -> None:
    lane = jti.lane(1, b"123456789")
    assert jti.parse(jti.compose(lane, 7, one)) == jti.parse(jti.compose(lane, 7, two))


@given(_HOURS, st.integers(-1000, 5000))
def test_a_lane_is_an_hour_give_or_take_five_minutes(hour: int, offset: int) -> None:
    lane = jti.lane(hour, bytes(9))
    assert jti.issued_in_lane(lane, hour * 3600 + offset) == (-300 <= offset < 3900)


@pytest.mark.parametrize(
    "make",
    [
        lambda: jti.lane(1, bytes(8)),
        lambda: jti.lane(1, bytes(10)),
        lambda: jti.compose(bytes(12), 1, bytes(4)),
        lambda: jti.compose(bytes(12), 1, bytes(6)),
        lambda: jti.compose(bytes(12), 2**32, bytes(5)),
        lambda: jti.compose(bytes(12), -1, bytes(5)),
        lambda: jti.lane(2**24, bytes(9)),
    ],
)
def test_parts_of_the_wrong_size_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises((ValueError, OverflowError)):
        make()


def test_any_28_characters_are_canonical_base64url() -> None:
    """28 is a multiple of four: there are no spare bits, so one place has one text per tail."""
    text = "_" * 28
    assert base64url.encode(base64url.decode(text)) == text
    assert jti.parse(text) == jti.place(b"\xff" * 12, 2**32 - 1)
