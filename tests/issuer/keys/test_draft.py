"""A ceremony on paper: what operators sign, and what does not become a keyset."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import structs

from tests.support.clock import NOW
from tests.support.keys import signer
from tests.support.ledger import DAY, make_keyset, root_set
from tests.support.weak_keys import rsa_jwk
from tocsin_issuer.core.keyset_changes import changes
from tocsin_issuer.keys import draft, root_signatures
from tocsin_issuer.keys.draft import KeysetDraft
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_schemas import keyset as keysets
from tocsin_schemas.errors import DocumentRejected
from tocsin_schemas.keyset import Policy

OLD = [signer("Ed25519", f"ceremony-{number}") for number in range(3)]
NEW = [signer("ES256", f"ceremony-{number}") for number in range(3)]
STRANGER = signer("Ed25519", "ceremony-stranger")
ROOTS = root_set(OLD, 2)
CURRENT = keysets.sign(make_keyset(4, roots=ROOTS), [*OLD[:2]])


def drafted(version: int = 5, **changes: Any) -> KeysetDraft:
    return KeysetDraft(make_keyset(version, **{"roots": ROOTS, **changes}), CURRENT)


def held(one: KeysetDraft, by: Sequence[PrivateKeySigner]) -> str:
    """The whole ceremony; returns ``published`` or the code."""
    try:
        read = draft.read_draft(root_signatures.to_text(one))
        parts = [
            root_signatures.read_signature(root_signatures.to_text(draft.sign(read, root)))
            for root in by
        ]
        document = root_signatures.read_document(
            root_signatures.to_text(draft.assemble(read, parts))
        )
        assert draft.check_signed(draft.trust_in(CURRENT), document) == one.keyset
    except DocumentRejected as rejected:
        return rejected.code
    return "published"


@pytest.mark.parametrize("by", [[0, 1], [2, 0], [0, 1, 2]])
def test_two_of_three_sign_each_alone(by: list[int]) -> None:
    assert held(drafted(), [OLD[number] for number in by]) == "published"


@pytest.mark.parametrize(
    ("one", "by", "code"),
    [
        (drafted(), OLD[:1], "root_mismatch"),
        (drafted(), [], "root_mismatch"),
        (drafted(), [OLD[0], STRANGER], "root_unknown"),
        (drafted(), [OLD[0], OLD[0]], "root_twice"),
        (drafted(4), OLD, "keyset_version"),
        (drafted(3), OLD, "keyset_version"),
        (drafted(expires_at=NOW + 90 * DAY), OLD, "expires_too_far"),
        (drafted(iss="https://other.example"), OLD, "issuer"),
        (drafted(policy=Policy(lease_ms=3_600_001)), OLD, "policy_out_of_caps"),
        (drafted(policy=Policy(rho_ppm=0)), OLD, "policy_out_of_caps"),
        (drafted(expires_at=NOW - 2 * DAY), OLD, "document_malformed"),
        (drafted(roots=root_set(NEW, 2, 2)), OLD, "root_mismatch"),
        (drafted(roots=root_set(NEW, 2, 2)), NEW, "root_mismatch"),
        (drafted(roots=root_set(NEW, 2, 2)), [*OLD[:2], NEW[0]], "root_mismatch"),
        (drafted(roots=root_set(NEW, 2, 3)), [*OLD[:2], *NEW[:2]], "root_version"),
        (drafted(roots=root_set(NEW, 4, 2)), [*OLD, *NEW], "root_malformed"),
        (drafted(roots=root_set(NEW, 2, 2)), [OLD[2], OLD[0], *NEW[1:]], "published"),
    ],
)
def test_what_becomes_of_a_draft(one: KeysetDraft, by: list[PrivateKeySigner], code: str) -> None:
    assert held(one, by) == code


def test_a_signature_over_another_draft() -> None:
    one, other = drafted(), drafted(expires_at=NOW + 50 * DAY)
    part = draft.sign(other, OLD[0])
    with pytest.raises(DocumentRejected) as caught:
        draft.assemble(one, [part, draft.sign(one, OLD[1])])
    assert caught.value.code == "other_draft"
    renamed = structs.replace(part, draft=one.digest())
    with pytest.raises(DocumentRejected) as caught:
        draft.assemble(one, [renamed, draft.sign(one, OLD[1])])
    assert caught.value.code == "signature_bad"


def test_a_root_whose_modulus_is_prime() -> None:
    """Agents do not look; so nobody may get such a key into a draft."""
    weak = structs.replace(ROOTS, version=2, keys=(*ROOTS.keys, rsa_jwk(2**2203 - 1)))
    assert held(drafted(roots=weak), OLD) == "root_malformed"


@pytest.mark.parametrize(
    "change",
    [
        lambda members: members.pop("keyset"),
        lambda members: members.update(more=1),
        lambda members: members["keyset"].update(more=1),
        lambda members: members["keyset"]["keys"].append(members["keyset"]["keys"][0]),
        lambda members: members["keyset"]["keys"][0].update(kid="x" * 43),
        lambda members: members["replaces"].update(payload="e30"),
    ],
)
def test_a_draft_that_somebody_has_spoilt(change: Any) -> None:
    members = json.loads(root_signatures.to_text(drafted()))
    change(members)
    with pytest.raises(DocumentRejected):
        draft.read_draft(json.dumps(members))
    for text in ("", "[]", "{", '{"keyset":1,"keyset":2}'):
        with pytest.raises(DocumentRejected):
            draft.read_draft(text)


def test_people_see_what_they_sign() -> None:
    after = make_keyset(
        5,
        roots=root_set([*OLD[:2], NEW[0]], 3, 2),
        policy=Policy(lease_ms=30_000),
        expires_at=NOW + 70 * DAY,
        keys=(
            make_keyset().keys[0],
            structs.replace(make_keyset().keys[1], sign_until=NOW + 5),
            structs.replace(make_keyset().keys[2], kid=STRANGER.kid, jwk=dict(STRANGER.public.jwk)),
        ),
    )
    before = drafted().before()
    assert before is not None
    lines = changes(before, after, str)
    text = "\n".join(lines)
    for said in (
        "version  4 -> 5",
        f"expires  {NOW + 60 * DAY} -> {NOW + 70 * DAY}",
        f"root     - {OLD[2].kid}",
        f"root     + {NEW[0].kid}",
        "2 of 3 -> 3 of 3 must sign",
        "policy   lease_ms 120000 -> 30000",
        f"token    ~ {after.keys[1].kid} Ed25519, sign_until {NOW + 30 * DAY} -> {NOW + 5}",
        f"token    - {make_keyset().keys[2].kid}",
        f"token    + {STRANGER.kid} Ed25519, signs {NOW - DAY} to",
    ):
        assert said in text, said
    assert "ledger" not in text  # what stays is not told
    assert changes(None, after, str)[1] == "version  5, the first"
