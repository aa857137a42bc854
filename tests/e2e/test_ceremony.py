"""Ceremonies by command: three operators, three machines, real servers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from msgspec import to_builtins

from tests.e2e.ceremonies import Operator, development_root, hold_one, open_root
from tests.e2e.conftest import Stack
from tests.support.rejected import rejected
from tests.support.scrape import scrape
from tocsin_issuer.keys.ceremony import IssuerFolder
from tocsin_issuer.keys.publication import Publication
from tocsin_issuer.keys.signer import PrivateKeySigner, generate
from tocsin_issuer.service_file import render_service_file
from tocsin_issuer.store.outbox import Emission, Outbox
from tocsin_revocation_bus.core.replica import AgentState
from tocsin_schemas import keyset as keysets
from tocsin_schemas import signed_document
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import Event, KeysetPublished
from tocsin_schemas.signed_document import SignedDocument
from tocsin_verifier_agent import VerifierAgent

THREE = ("anna", "ben", "cleo")


async def test_a_first_keyset(tmp_path: Path) -> None:
    operators = [Operator(tmp_path / name) for name in THREE]
    for operator in operators:
        await operator.make_root("Ed25519")
    host = Operator(tmp_path / "host")
    publics = [str(one.folder / "root.pub") for one in operators]
    roots = [word for public in publics for word in ("--root", public)]
    begin = ("first", "--issuer", "https://i.example", "--dir", "issuer", *roots)
    assert await host.refused(*begin, "--threshold", "4") == "threshold"
    said = await host.does(*begin, "--threshold", "2", "--every", "20d")
    assert "2 of 3 must sign" in said
    assert said.count("token    +") == 4

    draft = host.folder / "draft.json"
    one, two = await operators[0].sign(draft), await operators[2].sign(draft)
    assert await host.refused("assemble", "draft.json", str(one)) == "root_mismatch"
    assert await host.refused("assemble", "draft.json", str(one), str(one)) == "root_twice"
    await host.does("assemble", "draft.json", str(one), str(two))
    assert await host.refused("assemble", "draft.json", str(one), str(two)) == "file_exists"
    elsewhere = ("publish", "keyset.json", "--dir", "elsewhere")
    assert await host.refused(*elsewhere) == "key_missing"  # not where its keys were made
    await host.does("publish", "keyset.json", "--dir", "issuer")
    assert await host.refused("publish", "keyset.json", "--dir", "issuer") == "already_initialised"

    folder = IssuerFolder.open(host.folder / "issuer")
    try:
        assert not folder.root_signers()
        keyset = keysets.parse_unverified(folder.newest_keyset())
        assert (keyset.roots.threshold, len(keyset.roots.keys)) == (2, 3)
        assert len(folder.keys.kids()) == len(keyset.keys) == 5
    finally:
        folder.close()
    for path in host.folder.rglob("*"):
        assert path.name == "passphrase" or path.stat().st_mode & 0o077 == 0, path


async def test_nothing_is_signed_without_a_yes(tmp_path: Path) -> None:
    operator = Operator(tmp_path / "anna")
    await operator.make_root("Ed25519")
    await operator.does(
        *("first", "--issuer", "https://i.example", "--dir", "issuer", "--alg", "ES256"),
        *("--root", "root.pub", "--threshold", "1"),
    )
    sign = ("sign", "draft.json", "--secret-file", "passphrase", "--out", "part.json")
    done = await operator.ceremony(*sign, text="n\n")
    assert done.returncode != 0
    assert "token    +" in done.stdout
    assert not (operator.folder / "part.json").exists()
    (operator.folder / "passphrase").write_text("another passphrase")
    assert await operator.refused(*sign, "--yes") == "root_unreadable"
    (operator.folder / "passphrase").chmod(0o644)
    assert await operator.refused(*sign, "--yes") == "secret_file_open"


@pytest.fixture
def desk(stack: Stack, tmp_path: Path) -> Operator:
    """Where the issuer's operator sits."""
    return Operator(tmp_path / "desk", stack.secrets.admin_file)


async def assembled(desk: Operator, *parts: Path) -> None:
    (desk.folder / "keyset.json").unlink(missing_ok=True)
    await desk.does("assemble", "draft.json", *map(str, parts))


async def test_from_one_root_to_two_of_three(stack: Stack, desk: Operator, tmp_path: Path) -> None:
    """Agents that pin the old root follow; then the old root counts for nothing."""
    operators = [Operator(tmp_path / name) for name in THREE]
    for operator in operators:
        await operator.make_root()
    root, kek = development_root(stack)
    publics = [word for one in operators for word in ("--root", str(one.folder / "root.pub"))]
    login = await stack.log_in()
    async with stack.agent() as agent:
        said = await desk.does("prepare", "--rotations", "2", *publics, "--threshold", "2")
        assert "version  1 -> 2" in said
        assert "1 of 1 -> 2 of 3 must sign" in said
        draft = desk.folder / "draft.json"
        old = await desk.sign(draft, "--secret-file", str(kek), root=str(root))
        new = [await operator.sign(draft) for operator in operators[:2]]
        for too_few in ([old], [old, new[0]], new):
            names = map(str, too_few)
            assert await desk.refused("assemble", "draft.json", *names) == "root_mismatch"
        await assembled(desk, old, *new)
        published = json.loads(await desk.does("publish", "keyset.json"))
        assert published["status"] == "committed"
        assert await desk.refused("publish", "keyset.json") == "keyset_version"

        root.rename(tmp_path / "the old root")
        agent.verify(login["access_token"])
        async with asyncio.timeout(5):
            while version(agent) < 2:
                await asyncio.sleep(0.02)
                agent.verify(login["access_token"])
        assert agent.status().state is AgentState.LIVE

        (desk.folder / "draft.json").unlink()
        await desk.does("prepare", "--alg", "Ed25519", "--rotations", "4")
        stale = await desk.ceremony(
            "sign", "draft.json", "--root", str(tmp_path / "the old root"), "--yes",
            "--secret-file", str(kek), "--out", "old.json",
        )  # fmt: skip
        assert "[root_unknown]" in stale.stderr
        parts = [await operators[2].sign(draft), await operators[0].sign(draft)]
        await assembled(desk, *parts)
        await desk.does("publish", "keyset.json")

        answer = await stack.post("/v1/logout", login["access_token"])
        assert answer.status_code == 200
        assert await rejected(agent, login["access_token"]) == "session_revoked"
        assert version(agent) == 3
        listed = json.loads((await desk.keys("list", "--json")).stdout)
        assert [key["phase"] for key in listed["keys"]][:1] == ["active"]
        assert {key["alg"] for key in listed["keys"]} == {"RS256", "Ed25519"}
        assert len(listed["keys"]) == 5
    login = await stack.log_in()
    async with stack.agent() as fresh:  # it pins the first root, and replays the chain
        fresh.verify(login["access_token"])
        keyset = fresh.replica.trust.keyset
    assert keyset is not None
    text = (stack.folder / "orders.tocsin").read_text()
    for name, roots_version in (("later", 2), ("wrong", 1)):
        roots = render_service_file(
            issuer=keyset.iss,
            audiences=["orders"],
            thumbprints=keyset.roots.public_keys(),
            threshold=keyset.roots.threshold,
            roots_version=roots_version,
            servers=[],
            credentials=None,
        ).partition("[bus]")[0]
        file = stack.folder / f"{name}.tocsin"
        file.write_text(roots + "[bus]" + text.partition("[bus]")[2])
        file.chmod(0o600)
    async with stack.agent("later") as enrolled_later:  # it pins the new roots alone
        enrolled_later.verify(login["access_token"])
    async with stack.agent("wrong") as lost:
        assert lost.status().reason == "root_mismatch"


def version(agent: VerifierAgent) -> int:
    """Of the keyset that the agent goes by."""
    keyset = agent.replica.trust.keyset
    return 0 if keyset is None else keyset.version


async def test_what_the_issuer_refuses_to_publish(stack: Stack) -> None:
    root = open_root(stack)
    answer = await stack.admin("POST", "/admin/keys/drafts", {"algs": ["Ed25519"]})
    assert answer.status_code == 201, answer.text
    drafted = answer.json()
    keyset = drafted["keyset"]
    now = keyset["issued_at"]

    async def published(by: PrivateKeySigner = root, **changes: object) -> tuple[int, str | None]:
        """For a draft that somebody has changed."""
        members = {**keyset, **changes}
        document = signed_document.sign(members, [by], keysets.KEYSET_TYP)
        refusal = await stack.admin("POST", "/admin/keys/keysets", to_builtins(document))
        return refusal.status_code, refusal.json().get("code")

    tokens = [key for key in keyset["keys"] if key["use"] == "token"]
    ledger = [key for key in keyset["keys"] if key["use"] == "ledger"]
    stranger = generate("Ed25519")
    foreign = {
        **tokens[-1],
        "kid": stranger.kid,
        "alg": "Ed25519",
        "jwk": dict(stranger.public.jwk),
    }
    assert await published(by=stranger) == (409, "root_unknown")
    assert await published(version=1) == (409, "keyset_version")
    assert await published(iss="https://other.example") == (409, "issuer")
    assert await published(more=1) == (409, "document_malformed")
    assert await published(keys=[*ledger, *tokens, foreign]) == (409, "key_missing")
    assert await published(keys=[*tokens, {**foreign, "use": "ledger"}]) == (409, "no_ledger_key")
    assert await published(keys=[*ledger, *tokens[2:]]) == (503, "no_signing_key")
    assert await published(issued_at=now - 100, expires_at=now - 50) == (409, "keyset_expired")
    assert await published(issued_at=now + 4000) == (409, "expires_too_far")
    assert await published(expires_at=now + 91 * 86400) == (409, "expires_too_far")
    policy = {**keyset["policy"], "max_token_life_s": 60}
    assert await published(policy=policy) == (409, "policy_mismatch")
    policy = {**keyset["policy"], "lease_ms": 3_600_001}
    assert await published(policy=policy) == (409, "policy_out_of_caps")
    wanted: tuple[tuple[dict[str, object], str], ...] = (
        ({"life_s": 91 * 86400}, "field_invalid"),
        ({"policy": {"lease_ms": 3_600_001}}, "policy_out_of_caps"),
        ({"policy": {"unknown": 1}}, "field_invalid"),
        ({"algs": ["HS256"]}, "field_invalid"),
        ({"more": 1}, "field_invalid"),
        ({"every_s": 1}, "rotation_period"),
    )
    for body, code in wanted:
        refusal = await stack.admin("POST", "/admin/keys/drafts", body)
        assert (refusal.status_code, refusal.json()["code"]) == (400, code)
    described = (await stack.admin("GET", "/admin/keys")).json()
    assert described["keyset"]["version"] == 1
    assert [key["phase"] for key in described["keys"]] == ["active", "standby"]
    shorter = await stack.admin("POST", "/admin/keys/drafts", {"policy": {"lease_ms": 1500}})
    assert shorter.json()["keyset"]["policy"] == {**keyset["policy"], "lease_ms": 1500}
    assert await published() == (200, None)


async def test_a_keyset_on_its_way_is_not_offered_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys are looked after every second: perhaps just when a keyset has been kept."""
    publish, emit = Publication.publish, Outbox.emit
    on_their_way: list[Publication] = []

    async def published(
        publication: Publication, document: SignedDocument, reason: str
    ) -> Emission:
        on_their_way.append(publication)
        return await publish(publication, document, reason)

    async def emitted(outbox: Outbox, event: Event) -> Emission:
        if isinstance(event, KeysetPublished) and event.reason == "ceremony":
            await on_their_way[0].resume()
        return await emit(outbox, event)

    monkeypatch.setattr(Publication, "publish", published)
    monkeypatch.setattr(Outbox, "emit", emitted)
    keyset = await hold_one(stack, {"rotations": 2})
    assert len(on_their_way) == 1
    assert stack.development.service.replica.trust.keyset == keyset
    with pytest.raises(RequestRejected) as refused:
        await publish(on_their_way[0], keysets.sign(keyset, [open_root(stack)]), "twice")
    assert (refused.value.code, refused.value.status) == ("keyset_version", 409)
    assert not on_their_way[0].pending
    assert (await scrape(stack))("outbox_rejected_entries") == 0
