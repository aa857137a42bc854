"""What is rendered is what an agent reads, whatever the values."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_issuer.service_file import render_service_file
from tocsin_schemas.errors import ConfigurationError
from tocsin_verifier_agent import agent_file
from tocsin_verifier_agent.agent_file import AgentFile, BusSection, PolicySection, RootsSection

ISSUER = "https://issuer.example"
THUMBPRINTS = ("A" * 43, "b-_" + "C" * 40)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


def is_a_path(name: str) -> bool:
    return "\0" not in name


def read_back(folder: Path, text: str) -> AgentFile:
    path = folder / "orders.tocsin"
    path.write_bytes(text.encode())
    path.chmod(0o600)
    return agent_file.read(path)


def test_a_file_in_full(tmp_path: Path) -> None:
    text = render_service_file(
        issuer=ISSUER,
        audiences=["orders", "orders-v2"],
        thumbprints=THUMBPRINTS,
        threshold=2,
        servers=["nats://a:4222", "tls://b:4222"],
        credentials="edge.nk",
        max_lease_ms=30_000,
    )
    assert read_back(tmp_path, text) == AgentFile(
        issuer=ISSUER,
        audiences=("orders", "orders-v2"),
        roots=RootsSection(tuple(sorted(THUMBPRINTS)), 2),
        bus=BusSection(("nats://a:4222", "tls://b:4222"), "edge.nk"),
        policy=PolicySection(30_000),
    )


def test_what_is_left_out_keeps_its_default(tmp_path: Path) -> None:
    text = render_service_file(
        issuer=ISSUER,
        audiences=["orders"],
        thumbprints=THUMBPRINTS,
        threshold=1,
        servers=["nats://a:4222"],
        credentials=None,
    )
    parsed = read_back(tmp_path, text)
    assert parsed.policy == PolicySection()
    assert parsed.bus.credentials is None


def test_the_order_of_the_roots_does_not_show() -> None:
    texts = {
        render_service_file(
            issuer=ISSUER,
            audiences=["orders"],
            thumbprints=thumbprints,
            threshold=1,
            servers=["nats://a:4222"],
            credentials=None,
        )
        for thumbprints in (THUMBPRINTS, THUMBPRINTS[::-1], frozenset(THUMBPRINTS))
    }
    assert len(texts) == 1


@given(issuer=names, audience=names, server=names, credentials=names.filter(is_a_path))
def test_any_text_comes_back(issuer: str, audience: str, server: str, credentials: str) -> None:
    text = render_service_file(
        issuer=issuer,
        audiences=[audience],
        thumbprints=THUMBPRINTS,
        threshold=1,
        servers=[server],
        credentials=credentials,
    )
    with tempfile.TemporaryDirectory() as folder:
        parsed = read_back(Path(folder), text)
    assert (parsed.issuer, parsed.audiences) == (issuer, (audience,))
    assert parsed.bus == BusSection((server,), credentials)


@pytest.mark.parametrize("name", ['"\n[roots]\nthreshold = 0', "\x00\x1f\x7f\x85\u2028", "\\u0041"])
def test_no_value_can_end_its_string(tmp_path: Path, name: str) -> None:
    text = render_service_file(
        issuer=name,
        audiences=[name],
        thumbprints=THUMBPRINTS,
        threshold=2,
        servers=[name],
        credentials=name.replace("\0", ""),
    )
    parsed = read_back(tmp_path, text)
    assert (parsed.issuer, parsed.bus.servers) == (name, (name,))
    assert parsed.bus.credentials == name.replace("\0", "")
    assert parsed.roots.threshold == 2


def test_a_value_that_no_file_can_hold() -> None:
    with pytest.raises(ConfigurationError) as caught:
        render_service_file(
            issuer="\ud800",
            audiences=["orders"],
            thumbprints=THUMBPRINTS,
            threshold=1,
            servers=["nats://a:4222"],
            credentials=None,
        )
    assert caught.value.code == "service_file_invalid"
