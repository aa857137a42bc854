"""The issuer's token ids: a lane, a counter, and random bits, as 28 base64url characters.

A lane is one process of the issuer in one hour (hour since the epoch, 3 bytes, and 9 random bytes).
Within it tokens are counted, so that the revoked ones are a Roaring bitmap of about two bytes each
instead of a set of strings. The random bits make an id as hard to guess as any other.
"""

from collections.abc import Sequence
from typing import TypeAlias

from tocsin_schemas import base64url
from tocsin_schemas.errors import EncodingRejected

LANE_LENGTH = 12
LANE_RANDOM_LENGTH = 9
TAIL_RANDOM_LENGTH = 5
HOUR_S = 3600
LANE_SLACK_S = 300

Place: TypeAlias = bytes
"""A token's place: its lane, and its counter there in four bytes, big-endian."""

PLACE_LENGTH = LANE_LENGTH + 4
_LENGTH = PLACE_LENGTH + TAIL_RANDOM_LENGTH
_TEXT_LENGTH = 28  # a multiple of four: ids that follow each other are base64url too
_LANE_END_S = HOUR_S + LANE_SLACK_S
_number = int.from_bytes  # looked up once: every token that is new asks for it


def lane(hour: int, randomness: bytes) -> bytes:
    """A lane's name, from the hour since the epoch and 9 random bytes."""
    if len(randomness) != LANE_RANDOM_LENGTH:
        raise ValueError("a lane takes 9 random bytes")
    return hour.to_bytes(3) + randomness


def hour_of(lane: bytes) -> int:
    """The hour since the epoch in which the lane was opened."""
    return int.from_bytes(lane[:3])


def place(lane: bytes, counter: int) -> Place:
    """A token's place, from its parts."""
    return lane + counter.to_bytes(4)


def lane_of(place: Place) -> bytes:
    """The lane that a token stands in."""
    return place[:LANE_LENGTH]


def counter_of(place: Place) -> int:
    """The token's counter in its lane."""
    return int.from_bytes(place[LANE_LENGTH:])


def compose(lane: bytes, counter: int, randomness: bytes) -> str:
    """A jti, from its place and 5 random bytes."""
    if len(randomness) != TAIL_RANDOM_LENGTH:
        raise ValueError("a jti takes 5 random bytes")
    return base64url.encode(place(lane, counter) + randomness)


def parse(jti: str) -> Place | None:
    """The place that ``jti`` names, or None where it is not one of the issuer's own ids."""
    if len(jti) != _TEXT_LENGTH:
        return None
    try:
        return base64url.decode(jti)[:PLACE_LENGTH]
    except EncodingRejected:
        return None


def parse_all(jtis: Sequence[str]) -> list[Place | None]:
    """As :func:`parse`, for many ids at a fraction of what each by itself would cost."""
    if set(map(len, jtis)) <= {_TEXT_LENGTH}:
        try:
            raw = base64url.decode("".join(jtis))
        except EncodingRejected:
            pass
        else:
            return [raw[at : at + PLACE_LENGTH] for at in range(0, len(raw), _LENGTH)]
    return [parse(jti) for jti in jtis]


def issued_in_lane(place: Place, iat: int) -> bool:
    """Whether ``iat`` lies in the hour of the lane (its name, or a place in it), give or take 5
    minutes.
    """
    return -LANE_SLACK_S <= iat - _number(place[:3]) * HOUR_S < _LANE_END_S
