"""The exchange policy: read strictly, read again when it changes, and kept when it turns bad."""

import logging
from pathlib import Path

import pytest

from tocsin_issuer.exchange.policy import (
    MAX_POLICY_BYTES,
    NOTHING_ALLOWED,
    ClientRule,
    ExchangePolicy,
    Target,
    parse,
)
from tocsin_issuer.exchange.policy_file import LOOK_S, PolicyFile
from tocsin_schemas.errors import ConfigurationError

GOOD = b"""
[clients.orders-service]
receives = ["orders"]
[clients.orders-service.targets.inventory]
scopes = ["inventory:read"]
life_s = 450
resource = "https://inventory.internal/"
"""
START = '[clients.a]\nreceives = ["o"]\n'
TARGET = START + "[clients.a.targets.t]\n"


def test_what_a_policy_says() -> None:
    target = Target(("inventory:read",), 450, "https://inventory.internal/")
    rule = ClientRule(("orders",), {"inventory": target})
    assert parse(GOOD, "f") == ExchangePolicy({"orders-service": rule})
    assert rule.audience_of("https://inventory.internal/") == "inventory"
    assert rule.audience_of("https://inventory.internal") is None
    assert parse(b"", "f") == NOTHING_ALLOWED
    assert parse(TARGET.encode(), "f").clients["a"].targets["t"] == Target((), 300, None)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("clients = 1", "$.clients"),
        ("[[", "key"),
        ("allow_all = true", "allow_all"),
        ("[clients.a]", "receives"),
        ("[clients.a]\nreceives = []", "receives"),
        ('[clients.a]\nreceives = "o"', "receives"),
        (START + "targets = []", "targets"),
        (START + "everything = true", "everything"),
        (TARGET + "life_s = 299", "life_s"),
        (TARGET + "life_s = 601", "life_s"),
        (TARGET + "life_s = 300.0", "life_s"),
        (TARGET + 'scopes = ["a b"]', "scopes"),
        (TARGET + 'scopes = [""]', "scopes"),
        (TARGET + 'scope = "a"', "scope"),
        (TARGET + 'resource = "inventory"', "clients.a.targets.t.resource"),
        (TARGET + 'resource = "https://a/#b"', "clients.a.targets.t.resource"),
        (TARGET + 'resource = "https://a/ b"', "clients.a.targets.t.resource"),
        (
            TARGET + 'resource = "https://a"\n[clients.a.targets.u]\nresource = "https://a"',
            "clients.a.targets.u.resource",
        ),
        ("#" * (MAX_POLICY_BYTES + 1), "too large"),
    ],
)
def test_a_mistake_is_named(text: str, place: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(text.encode(), "exchange.toml")
    assert caught.value.code == "exchange_policy_malformed"
    assert str(caught.value).startswith("exchange.toml: ")
    assert place in str(caught.value)


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(ConfigurationError, match=r"exchange\.toml"):
        parse(b"\xff", "exchange.toml")


class Clock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def later(self) -> None:
        self.now += LOOK_S


def replace(path: Path, text: bytes) -> None:
    """As an editor or a deployment does it."""
    draft = path.with_suffix(".new")
    draft.write_bytes(text)
    draft.replace(path)


def test_a_change_counts_after_the_next_look(tmp_path: Path) -> None:
    path, clock = tmp_path / "exchange.toml", Clock()
    file = PolicyFile(path, clock)
    assert file.current() is NOTHING_ALLOWED
    replace(path, GOOD)
    assert file.current() is NOTHING_ALLOWED, "not yet looked at"
    clock.later()
    first = file.current()
    assert set(first.clients) == {"orders-service"}
    clock.later()
    assert file.current() is first, "not read again for nothing"
    replace(path, GOOD.replace(b"orders-service", b"other-service"))
    clock.later()
    assert set(file.current().clients) == {"other-service"}
    replace(path, b"")
    clock.later()
    assert file.current() == NOTHING_ALLOWED


def test_the_last_good_one_outlives_a_bad_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, clock = tmp_path / "exchange.toml", Clock()
    path.write_bytes(GOOD)
    file = PolicyFile(path, clock)
    good = file.current()
    caplog.set_level(logging.ERROR)
    for text, code in (
        (b"clients = 1", "exchange_policy_malformed"),
        (None, "exchange_policy_unreadable"),
    ):
        caplog.clear()
        if text is None:
            path.unlink()
        else:
            replace(path, text)
        for _ in range(3):
            clock.later()
            assert file.current() is good
            assert file.failure == code
        assert [code in record.getMessage() for record in caplog.records] == [True], "said once"
    replace(path, b"")
    clock.later()
    assert file.current() == NOTHING_ALLOWED
    assert file.failure is None


def test_a_bad_one_at_the_start_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "exchange.toml"
    path.write_bytes(b"clients = 1")
    with pytest.raises(ConfigurationError, match="clients"):
        PolicyFile(path)
