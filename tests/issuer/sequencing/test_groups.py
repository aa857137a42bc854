"""What becomes one record: in order, nothing left out, and short enough to be taken in at once."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, json

from tests.support.ledger import revoke_token, signed_keyset
from tocsin_issuer.sequencing.groups import GROUP_LENGTH, next_group
from tocsin_issuer.store.outbox import RawEntry
from tocsin_schemas.events import KIND_OF, KeysetPublished, RawEvent

_KEYSET, _REVOKED = (
    RawEvent(KIND_OF[type(event)], Raw(json.encode(event)))
    for event in (
        KeysetPublished(id="k", reason="rotation", initiator="admin", keyset=signed_keyset()),
        revoke_token("a"),
    )
)

_ENTRIES = st.lists(
    st.builds(
        RawEntry,
        st.uuids().map(str),
        st.sampled_from([(_REVOKED,), (_REVOKED,), (_REVOKED,), (_KEYSET,)]),
        st.integers(1, GROUP_LENGTH // 3) | st.integers(1, 3 * GROUP_LENGTH),
    ),
    max_size=12,
)


@given(_ENTRIES)
def test_groups_follow_each_other_and_each_is_short(entries: list[RawEntry]) -> None:
    rest, groups = entries, []
    while rest:
        group = next_group(rest)
        assert group
        assert len(group) == 1 or sum(entry.size for entry in group) <= GROUP_LENGTH
        assert len(group) == 1 or all(entry.events == (_REVOKED,) for entry in group)
        groups.append(group)
        rest = rest[len(group) :]
    assert [entry for group in groups for entry in group] == entries
    for one, two in pairwise(groups):
        joined = [*one, *two]
        assert next_group(joined) == one  # no group could have been longer
