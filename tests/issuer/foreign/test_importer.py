"""The importer on a real outbox, with a hand that plays the sequencer."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.issuer.foreign.dialects import LIBRARIES, Signer
from tests.issuer.foreign.provider import Page, Provider
from tests.support.clock import NOW
from tests.support.ledger import TOKEN_KEY, Ledger, publish, signed_keyset
from tocsin_issuer.foreign.importer import KeyImporter
from tocsin_issuer.foreign.jwks_fetch import JwksFetch
from tocsin_issuer.foreign.known_issuers import KnownIssuers
from tocsin_issuer.foreign.schedule import Schedule
from tocsin_issuer.store.outbox import Outbox
from tocsin_schemas import jwk
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import IssuerKeysImported
from tocsin_schemas.issuer_profile import PROFILES, ForeignIssuer

A, B = "https://a.example", "https://b.example"
PyJwt = LIBRARIES["pyjwt"]


def named(iss: str, uri: str) -> ForeignIssuer:
    return ForeignIssuer(iss=iss, jwks_uri=uri, profile=PROFILES["keycloak"])


@dataclass
class Site:
    """One importer, what it fetches from, and the ledger that it writes to."""

    provider: Provider
    outbox: Outbox
    fetch: Callable[[str], Awaitable[bytes]] = field(
        default_factory=lambda: JwksFetch(deadline_s=1.0)
    )
    active: bool = True
    time: float = 1000.0

    def __post_init__(self) -> None:
        self.ledger = Ledger(
            signed_keyset(
                foreign_issuers=(
                    named(A, self.provider.base + "/a"),
                    named(B, self.provider.base + "/b"),
                )
            )
        )
        self.replica = self.ledger.replica()
        numbers = count(1)
        self.importer = KeyImporter(
            replica=self.replica,
            outbox=self.outbox,
            fetch=self.fetch,
            active=lambda: self.active,
            clock=lambda: self.time,
            wall_clock=lambda: float(NOW),
            event_id=lambda: f"event-{next(numbers)}",
            schedule=Schedule(600.0, 30.0),
            jitter=lambda: 0.5,
        )

    async def turn(self, after: float = 0.0) -> list[IssuerKeysImported]:
        """Time passes, the importer takes its turn, and what it emits gets into the ledger."""
        self.time += after
        await self.importer.turn()
        emitted: list[IssuerKeysImported] = []
        for entry in await self.outbox.read(100):
            for event in entry.events:
                assert isinstance(event, IssuerKeysImported)
                emitted.append(event)
            self.ledger.append(*entry.events)
            await self.outbox.reject(entry.id, "taken")
        self.ledger.feed(self.replica)
        return emitted

    def name(self, *issuers: ForeignIssuer) -> None:
        """The roots name others."""
        keyset = self.replica.trust.keyset
        assert keyset is not None
        self.ledger.append(publish(signed_keyset(keyset.version + 1, foreign_issuers=issuers)))
        self.ledger.feed(self.replica)

    def known(self, iss: str) -> list[str]:
        return sorted(self.replica.state.imported.get(iss, {}))

    def told(self, iss: str) -> dict[str, Any]:
        return {str(one["iss"]): one for one in self.importer.describe()}[iss]


@pytest.fixture
def site(provider: Provider, outbox: Outbox) -> Site:
    provider.publish("/a", key("a-1").jwk(), key("a-2").jwk())
    provider.publish("/b", key("b-1").jwk())
    return Site(provider, outbox)


def key(kid: str) -> Signer:
    return PyJwt(kid, int(kid[-1]))


async def test_all_are_fetched_at_once_and_then_in_ten_minutes(site: Site) -> None:
    assert sorted(event.iss for event in await site.turn()) == [A, B]
    assert (site.known(A), site.known(B)) == (["a-1", "a-2"], ["b-1"])
    assert await site.turn(599.0) == []
    assert site.provider.requests == {"/a": 1, "/b": 1}
    assert await site.turn(2.0) == []  # fetched again, and nothing has changed
    assert site.provider.requests == {"/a": 2, "/b": 2}
    told = site.told(A)
    assert (told["fetched_at"], told["failure"]) == (float(NOW), None)
    assert told["keys"] == [
        {"kid": kid, "thumbprint": jwk.thumbprint(known.jwk), "revoked": False}
        for kid, known in sorted(site.replica.state.imported[A].items())
    ]


async def test_a_rotation_replaces_all_keys_of_that_issuer_alone(site: Site) -> None:
    await site.turn()
    site.provider.publish("/a", key("a-2").jwk(), key("a-3").jwk())
    (event,) = await site.turn(700.0)
    assert (event.iss, [one.kid for one in event.keys]) == (A, ["a-2", "a-3"])
    assert (site.known(A), site.known(B)) == (["a-2", "a-3"], ["b-1"])


BAD_DAYS: dict[str, Callable[[Page], Page]] = {
    "status": lambda good: Page(good.body, status=500),
    "redirect": lambda good: Page(good.body, status=302, headers={"Location": "/b"}),
    "json": lambda good: Page(b"<html>we will be back soon</html>"),
    "jwks_malformed": lambda good: Page(b"{}"),
    "no_usable_key": lambda good: Page(b'{"keys":[]}'),
    "too_large": lambda good: Page(good.body + b" " * 600_000),
    "timeout": lambda good: Page(drip_s=0.05),
}


@pytest.mark.parametrize("code", BAD_DAYS)
async def test_a_bad_day_at_the_providers_keeps_the_last_good_keys(site: Site, code: str) -> None:
    await site.turn()
    good = site.provider.pages["/a"]
    site.provider.pages["/a"] = BAD_DAYS[code](good)
    site.provider.publish("/b", key("b-1").jwk(), key("b-2").jwk())
    (event,) = await site.turn(700.0)
    assert event.iss == B, "one provider's bad day is no other's"
    assert site.known(A) == ["a-1", "a-2"]
    assert (site.told(A)["failure"], site.told(A)["fetched_at"]) == (code, float(NOW))
    site.provider.publish("/a", key("a-3").jwk())
    assert await site.turn(29.0) == []
    (event,) = await site.turn(6.0)
    assert (site.known(A), site.told(A)["failure"]) == (["a-3"], None)


async def test_a_provider_that_is_away_is_asked_ever_more_seldom(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    del site.provider.pages["/a"]
    with caplog.at_level(logging.WARNING):
        for _ in range(3600):
            await site.turn(1.0)
    # 30, 60, 120, 240, 480 and then 600 s apart, with up to a tenth more.
    assert 8 <= site.provider.requests["/a"] <= 11
    assert site.known(A) == []
    assert f"keys of {A} were not imported: status" in caplog.text


async def test_asking_for_it_makes_at_most_one_fetch_in_thirty_seconds(site: Site) -> None:
    await site.turn()
    for _ in range(120):
        site.importer.refresh()
        await site.turn(1.0)
    assert site.provider.requests == {"/a": 5, "/b": 5}


async def test_only_the_process_that_appends_fetches(site: Site) -> None:
    site.active = False
    assert await site.turn() == []
    with pytest.raises(RequestRejected) as caught:
        site.importer.refresh()
    assert (caught.value.code, caught.value.status) == ("not_the_sequencer", 409)
    assert site.provider.requests == {}
    site.active = True
    assert len(await site.turn()) == 2


async def test_our_own_key_in_their_set_is_told_and_not_imported(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    ours = {**TOKEN_KEY.public.jwk, "kid": "a name of theirs"}
    site.provider.publish("/a", ours, key("a-1").jwk(), {**key("a-2").jwk(), "kid": TOKEN_KEY.kid})
    with caplog.at_level(logging.WARNING):
        await site.turn()
    assert site.known(A) == ["a-1"]
    assert site.told(A)["skipped"] == ["key_is_ours", "key_is_ours"]
    assert f"keys of {A} were left out: key_is_ours" in caplog.text


async def test_an_issuer_that_is_no_longer_named_loses_its_keys(site: Site) -> None:
    await site.turn()
    site.name(named(B, site.provider.base + "/b"))
    (event,) = await site.turn(1.0)
    assert (event.iss, event.keys) == (A, ())
    assert (site.known(A), site.known(B)) == ([], ["b-1"])
    assert await site.turn(1.0) == []


async def test_a_change_of_its_uri_is_followed_at_once(site: Site) -> None:
    await site.turn()
    site.provider.publish("/new", key("a-3").jwk())
    site.name(named(A, site.provider.base + "/new"), named(B, site.provider.base + "/b"))
    await site.turn(1.0)
    assert site.known(A) == ["a-3"]


async def test_a_uri_that_nobody_should_have_signed_is_not_fetched(
    site: Site, provider: Provider
) -> None:
    site.name(named(A, "file:///etc/passwd"), named(B, provider.base + "/b"))
    await site.turn()
    assert (site.told(A)["failure"], site.known(B)) == ("jwks_uri", ["b-1"])


async def test_a_store_that_is_away_is_no_reason_to_stop(
    site: Site, redis: Redis, provider: Provider
) -> None:
    await redis.config_set("maxmemory", 1)
    try:
        await site.importer.turn()
    finally:
        await redis.config_set("maxmemory", 0)
    assert site.told(A)["failure"] == "store_unavailable"
    assert len(await site.turn(40.0)) == 2


def test_known_issuers_are_those_of_the_keyset_in_force(site: Site) -> None:
    known = KnownIssuers(lambda: site.replica.trust.keyset)
    known.require(A)
    site.name(named(B, site.provider.base + "/b"))
    with pytest.raises(RequestRejected) as caught:
        known.require(A)
    assert (caught.value.code, caught.value.status) == ("unknown_issuer", 404)
    with pytest.raises(RequestRejected) as caught:
        known.require_foreign_key(TOKEN_KEY.kid)
    assert caught.value.code == "key_is_ours"
