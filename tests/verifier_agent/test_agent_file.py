"""The `.tocsin` file: what it may say, and one line about whatever is wrong with it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import jwt
import pytest

from tests.support.keys import private_pem, signer
from tests.support.ledger import ROOT
from tocsin_schemas.errors import ConfigurationError
from tocsin_verifier_agent import VerifierAgent, agent_file, authenticator
from tocsin_verifier_agent.exchange import ExchangeClient
from tocsin_verifier_agent.exchange.grpc import GrpcExchange
from tocsin_verifier_agent.exchange.http import HttpExchange
from tocsin_verifier_agent.sidecar.client import SidecarClient

SECRET = "hunter2-and-more"
GOOD = f"""\
issuer = "https://issuer.example"
audiences = ["orders"]

[roots]
thumbprints = ["{ROOT.kid}"]

[bus]
servers = ["nats://127.0.0.1:4222"]
"""
INTROSPECTION = """
[introspection]
url = "https://issuer.example/oauth/introspect"
client_id = "orders"
client_secret_file = "orders.secret"
"""
EXCHANGE = """
[exchange]
url = "https://issuer.example/oauth/token"
client_id = "orders-service"
client_secret_file = "orders.secret"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    secret = tmp_path / "orders.secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    return tmp_path / "orders.tocsin"


def written(place: Path, text: str | bytes) -> Path:
    place.write_bytes(text.encode() if isinstance(text, str) else text)
    place.chmod(0o600)
    return place


def fault(place: Path) -> ConfigurationError:
    """The error; its message is one line that names the file and holds no secret."""
    with pytest.raises(ConfigurationError) as caught:
        VerifierAgent.from_file(place)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert SECRET not in message
    assert len(message) < len(str(place)) + 300
    return caught.value


# --- exchange -----------------------------------------------------------------------------------


async def test_where_to_exchange_tokens(place: Path) -> None:
    agent = VerifierAgent.from_file(written(place, GOOD))
    with pytest.raises(ConfigurationError) as caught:
        ExchangeClient.from_file(agent, place)
    assert caught.value.code == "exchange_unset"
    for more, kind in (("", HttpExchange), ('transport = "grpc"\n', GrpcExchange)):
        written(place, GOOD + EXCHANGE + more)
        exchange = ExchangeClient.from_file(VerifierAgent.from_file(place), place)
        assert type(exchange._transport) is kind
    access = agent_file.read(place).exchange_access(place.parent)
    assert (access.client_id, access.client_secret) == ("orders-service", SECRET)
    assert SECRET not in repr(access)
    written(place, GOOD + EXCHANGE.replace("client_secret_file", "certificate") + 'key = "k"\n')
    with pytest.raises(ConfigurationError) as caught:
        agent_file.read(place).exchange_access(place.parent)
    assert caught.value.code == "credentials_missing"
    (place.parent / "k").touch(mode=0o600)
    access = agent_file.read(place).exchange_access(place.parent)
    assert (access.client_secret, access.tls.key) == (None, place.parent / "k")
    written(place, GOOD + EXCHANGE)
    (place.parent / "orders.secret").chmod(0o644)
    with pytest.raises(ConfigurationError) as caught:
        ExchangeClient.from_file(agent, place)
    assert caught.value.code == "credentials_mode"


async def test_exchanging_with_a_key(place: Path) -> None:
    agent = VerifierAgent.from_file(written(place, GOOD))
    written(place, GOOD + EXCHANGE.replace("client_secret_file", "assertion_key_file"))
    key = place.parent / "orders.secret"
    with pytest.raises(ConfigurationError) as caught:
        ExchangeClient.from_file(agent, place)
    assert caught.value.code == "assertion_key_unusable"
    key.write_bytes(private_pem(signer("ES256")))
    access = agent_file.read(place).exchange_access(place.parent)
    assert access.client_secret is None
    assert access.assertions is not None
    claims = jwt.decode(
        access.assertions.parameters()["client_assertion"],
        signer("ES256").private_key.public_key(),
        algorithms=["ES256"],
        audience="https://issuer.example",
        issuer="orders-service",
    )
    assert claims["sub"] == "orders-service"
    key.chmod(0o640)
    with pytest.raises(ConfigurationError) as caught:
        ExchangeClient.from_file(agent, place)
    assert caught.value.code == "credentials_mode"


# --- good ones ----------------------------------------------------------------------------------


def test_a_file_that_leaves_verifying_to_the_sidecar(place: Path) -> None:
    """An agent beside the host's would be what nobody asked for; the sidecar's own is one."""
    written(place, f'sidecar = "run/tocsin.sock"\n{GOOD}')
    assert fault(place).code == "sidecar_named"
    assert isinstance(authenticator.from_file(place), SidecarClient)
    agent = VerifierAgent.from_parsed(agent_file.read(place), place.parent)
    assert agent.config.issuer == "https://issuer.example"


def test_the_smallest_file(place: Path) -> None:
    config = VerifierAgent.from_file(written(place, GOOD)).config
    assert (config.issuer, set(config.audiences)) == ("https://issuer.example", {"orders"})
    assert (config.on_stale, config.observe, config.introspection) == ("reject", False, None)
    assert (config.max_lease_ms, config.foreign) == (None, {})


def test_all_that_a_file_may_say(place: Path) -> None:
    text = (
        GOOD
        + INTROSPECTION
        + """
    [policy]
    max_lease_ms = 30000
    on_stale = "introspect"
    mode = "observe"

    [[issuers]]
    issuer = "https://login.example"
    audiences = ["api://orders", "orders"]
    """
    )
    config = VerifierAgent.from_file(written(place, text)).config
    assert (config.max_lease_ms, config.on_stale, config.observe) == (30000, "introspect", True)
    assert config.foreign == {"https://login.example": {"api://orders", "orders"}}
    client = config.introspection
    assert client is not None
    assert (client.url, client.client_id, client.client_secret) == (
        "https://issuer.example/oauth/introspect",
        "orders",
        SECRET,
    )
    assert SECRET not in repr(config)


@pytest.mark.parametrize("on_stale", ["reject", "accept"])
def test_what_to_do_without_a_lease(place: Path, on_stale: str) -> None:
    agent = VerifierAgent.from_file(written(place, f'{GOOD}\n[policy]\non_stale = "{on_stale}"\n'))
    assert agent.config.on_stale == on_stale
    assert agent.describe()["on_stale"] == on_stale


def test_the_environment_names_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_FILE", str(written(place, GOOD)))
    assert VerifierAgent.from_file().config.issuer == "https://issuer.example"
    monkeypatch.setenv("TOCSIN_FILE", "")
    with pytest.raises(ConfigurationError) as caught:
        VerifierAgent.from_file()
    assert caught.value.code == "file_unset"


def test_a_sidecar(place: Path) -> None:
    parsed = agent_file.read(written(place, f'sidecar = "tocsin.sock"\n{GOOD}'))
    assert parsed.sidecar == "tocsin.sock"


# --- bad ones -----------------------------------------------------------------------------------


def test_no_file(place: Path) -> None:
    assert fault(place).code == "file_missing"
    place.mkdir()
    assert fault(place).code == "file_missing"


def test_a_pipe_is_not_waited_for(place: Path) -> None:
    os.mkfifo(place, 0o600)
    found: list[str] = []
    reading = threading.Thread(target=lambda: found.append(fault(place).code), daemon=True)
    reading.start()
    reading.join(5)
    if reading.is_alive():
        place.open("wb").close()  # lets it go
    assert found == ["file_missing"]


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o602, 0o620, 0o601, 0o644, 0o777])
def test_a_file_that_is_open_to_others(place: Path, mode: int) -> None:
    written(place, GOOD).chmod(mode)
    assert fault(place).code == "file_mode"


def without(line: str) -> str:
    assert line in GOOD
    return "\n".join(one for one in GOOD.splitlines() if not one.startswith(line))


MALFORMED: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "issuer"),
    "not text": (b"\xff\xfe" + GOOD.encode(), "decode"),
    "no TOML": (f"issuer = \n{GOOD}", "line 1"),
    "a name twice": (f'issuer = "a"\n{GOOD}', "line 2"),
    "too large": (GOOD + "#" * agent_file.MAX_FILE_BYTES, "too large"),
    "nested": (f"x = {'[' * 20000}", "nested"),
    "a long number": (f"x = {'9' * 5000}\n{GOOD}", "digits"),
    "no issuer": (without("issuer"), "issuer"),
    "no audience": (without("audiences"), "audiences"),
    "empty audiences": (GOOD.replace('["orders"]', "[]"), "$.audiences"),
    "an empty audience": (GOOD.replace('["orders"]', '[""]'), "$.audiences"),
    "a number": (GOOD.replace('["orders"]', "[7]"), "$.audiences"),
    "no roots": (without("thumbprints"), "thumbprints"),
    "no root": (GOOD.replace(f'["{ROOT.kid}"]', "[]"), "$.roots.thumbprints"),
    "no thumbprint": (GOOD.replace(ROOT.kid, "not-a-thumbprint"), "$.roots.thumbprints"),
    "a threshold of 0": (GOOD.replace("[bus]", "threshold = 0\n[bus]"), "$.roots.threshold"),
    "out of reach": (GOOD.replace("[bus]", "threshold = 2\n[bus]"), "roots.threshold"),
    "one root twice": (
        GOOD.replace(f'["{ROOT.kid}"]', f'["{ROOT.kid}", "{ROOT.kid}"]\nthreshold = 2'),
        "roots.threshold",
    ),
    "no servers": (without("servers"), "servers"),
    "an unknown name": (f'{GOOD}\n[policy]\nonstale = "accept"\n', "onstale"),
    "an unknown section": (f"{GOOD}\n[polcy]\n", "polcy"),
    "an unknown word": (f'{GOOD}\n[policy]\non_stale = "acept"\n', "$.policy.on_stale"),
    "another word": (f'{GOOD}\n[policy]\non_stale = "ACCEPT"\n', "$.policy.on_stale"),
    "no word": (f"{GOOD}\n[policy]\non_stale = true\n", "$.policy.on_stale"),
    "an unknown mode": (f'{GOOD}\n[policy]\nmode = "off"\n', "$.policy.mode"),
    "a short lease": (f"{GOOD}\n[policy]\nmax_lease_ms = 99\n", "$.policy.max_lease_ms"),
    "a long lease": (f"{GOOD}\n[policy]\nmax_lease_ms = 3600001\n", "$.policy.max_lease_ms"),
    "half a lease": (f"{GOOD}\n[policy]\nmax_lease_ms = 0.5\n", "$.policy.max_lease_ms"),
    "nobody to ask": (f'{GOOD}\n[policy]\non_stale = "introspect"\n', "introspection"),
    "our issuer again": (
        f'{GOOD}\n[[issuers]]\nissuer = "https://issuer.example"\naudiences = ["a"]\n',
        "twice",
    ),
    "an issuer twice": (
        GOOD + '\n[[issuers]]\nissuer = "https://a.example"\naudiences = ["a"]\n' * 2,
        "twice",
    ),
    "an issuer for nobody": (
        f'{GOOD}\n[[issuers]]\nissuer = "https://a.example"\naudiences = []\n',
        "$.issuers[0].audiences",
    ),
    "a secret in the file": (
        f'{GOOD}{INTROSPECTION}client_secret = "{SECRET}"\n',
        "client_secret",
    ),
    "no secret": (GOOD + INTROSPECTION.replace("client_secret_file", "#"), "client_secret_file"),
    "NUL in a path": (GOOD + 'credentials = "a\\u0000b"\n', "$.bus.credentials"),
    "an empty path": (GOOD + 'ca = ""\n', "$.bus.ca"),
    "exchange over plain http": (GOOD + EXCHANGE.replace("https", "http"), "exchange.url must be"),
    "exchange as nobody": (GOOD + EXCHANGE.replace("client_secret_file", "ca"), "exchange needs"),
    "exchange by a secret and a key": (
        GOOD + EXCHANGE + 'assertion_key_file = "a.pem"',
        "not both",
    ),
    "introspection by a key": (
        GOOD + INTROSPECTION.replace("client_secret_file", "assertion_key_file"),
        "assertion_key_file",
    ),
    "a certificate alone": (GOOD + EXCHANGE + 'certificate = "a.pem"', "exchange.certificate"),
    "an unknown transport": (GOOD + EXCHANGE + 'transport = "carrier pigeon"', "transport"),
    "plain http": (GOOD + INTROSPECTION.replace("https", "http"), "introspection.url must be"),
    "no URL": (GOOD + INTROSPECTION.replace("https://issuer", "issuer"), "introspection.url"),
    "a name in the URL": (
        GOOD + INTROSPECTION.replace("https://", f"https://orders:{SECRET}@"),
        "introspection.url must not",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file(place: Path, name: str) -> None:
    text, says = MALFORMED[name]
    error = fault(written(place, text))
    assert error.code == "file_malformed"
    assert says in str(error)


def test_the_secrets_own_file(place: Path) -> None:
    written(place, GOOD + INTROSPECTION)
    secret = place.parent / "orders.secret"
    for content in (b"", b" \n", b"\xff\xfe", b"one\ntwo", b"a\0b", b"x" * 5000):
        secret.write_bytes(content)
        assert fault(place).code == "credentials_malformed"
    secret.write_text(SECRET)
    for mode in (0o640, 0o604, 0o644):
        secret.chmod(mode)
        assert fault(place).code == "credentials_mode"
    secret.unlink()
    assert fault(place).code == "credentials_missing"
    secret.mkdir(mode=0o700)
    assert fault(place).code == "credentials_malformed"


def test_the_credentials_of_the_bus(place: Path) -> None:
    written(place, GOOD + 'credentials = "orders.nk"\n')
    assert fault(place).code == "credentials_missing"


def test_a_ca_to_ask_the_issuer_by(place: Path) -> None:
    written(place, GOOD + INTROSPECTION + 'ca = "ca.pem"\n')
    assert fault(place).code == "ca_unusable"
