"""Having the roots name foreign issuers: with the roots at hand, and without."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.issuer.store.helpers import events_in, only_event
from tests.support.clock import NOW
from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.foreign.naming import offer_foreign_issuers
from tocsin_issuer.keys import ceremony
from tocsin_issuer.keys.ceremony import IssuerFolder
from tocsin_issuer.settings import checked_config
from tocsin_issuer.store.outbox import Outbox
from tocsin_revocation_bus.core.trust import PinnedRoots, Trust
from tocsin_schemas.events import KeysetPublished
from tocsin_schemas.keyset import Keyset, Policy

OURS = "https://issuer.example"
IDP = {
    "iss": "https://idp.example",
    "jwks_uri": "https://idp.example/keys",
    "profile": "keycloak",
}


def config(**more: Any) -> IssuerConfig:
    return checked_config({"iss": OURS, "default_audiences": ("orders",), **more})


@pytest.fixture
def keyset(tmp_path: Path) -> Keyset:
    return ceremony.init(tmp_path / "issuer", issuer=OURS, policy=Policy(), now=NOW)


@pytest.fixture
def folder(tmp_path: Path, keyset: Keyset) -> Iterator[IssuerFolder]:
    folder = IssuerFolder.open(tmp_path / "issuer")
    yield folder
    folder.close()


async def offer(
    settings: IssuerConfig, keyset: Keyset, folder: IssuerFolder, outbox: Outbox
) -> str | None:
    return await offer_foreign_issuers(
        settings, keyset, folder=folder, outbox=outbox, now=NOW + 60, event_id=lambda: "event-1"
    )


async def test_the_roots_at_hand_name_them(
    keyset: Keyset, folder: IssuerFolder, outbox: Outbox
) -> None:
    pinned = PinnedRoots(frozenset(keyset.roots.public_keys()), 1)
    trust = Trust(OURS, pinned).accept(folder.newest_keyset())
    settings = config(foreign_issuers=[IDP], foreign_token_life_s=5400)
    assert await offer(settings, keyset, folder, outbox)
    event = await only_event(outbox, KeysetPublished)
    trust = trust.accept(event.keyset)
    assert trust.keyset is not None
    assert [one.iss for one in trust.keyset.foreign_issuers] == [IDP["iss"]]
    assert trust.policy == Policy(max_token_life_s=5400)
    assert folder.newest_keyset() == event.keyset
    # The same again is no news; without the setting nothing changes; an empty one takes them out.
    assert await offer(settings, trust.keyset, folder, outbox) is None
    assert await offer(config(), trust.keyset, folder, outbox) is None
    assert len(await events_in(outbox)) == 1
    assert await offer(config(foreign_issuers=[]), trust.keyset, folder, outbox)
    last = (await events_in(outbox))[-1]
    assert isinstance(last, KeysetPublished)
    after = trust.accept(last.keyset).keyset
    assert after is not None
    assert (after.foreign_issuers, after.keys) == ((), keyset.keys)


async def test_without_the_roots_the_keyset_counts(
    keyset: Keyset, folder: IssuerFolder, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    before = folder.newest_keyset()
    shutil.rmtree(folder.roots.path)
    folder.roots.path.mkdir(mode=0o700)
    with caplog.at_level(logging.WARNING):
        assert await offer(config(foreign_issuers=[IDP]), keyset, folder, outbox) is None
    assert "foreign_issuers differ from the keyset's" in caplog.text
    assert await events_in(outbox) == []
    assert folder.newest_keyset() == before
